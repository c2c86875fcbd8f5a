/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: lines that one process of a container writes to an inner pipe and another copies into
 * the container's stream (supervisord, tee, a launcher). The copy is the record; the origin line
 * knows its thread and request. They are matched by content, the oldest first.
 */
#ifndef REQTAP_RELAY_H
#define REQTAP_RELAY_H

#include <stdint.h>
#include "agent/line.h"

#define RELAY_LINES 8192                /* origin lines that wait for their copy */
#define RELAY_TIMEOUT_NS 30000000000ULL /* after that nobody copies them */

struct origin {
	uint64_t request;
	uint64_t time_ns;
	uint64_t first_write_ns;
	uint32_t tgid, tid;
	uint8_t unit;
};

struct relay;

struct relay *relay__new(void);
struct relay *relay__free(struct relay *relay);

/* A line of an inner stream waits for its copy. */
void relay__origin(struct relay *relay, const struct line *line);

/*
 * The origin of a line in the container's stream, whole or behind a prefix that ends in a blank,
 * plain or in quotation marks.
 * -ENOENT: none waits.
 */
int relay__match(struct relay *relay, const struct line *line, struct origin *ret);

#endif
