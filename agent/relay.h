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
#define RELAY_PROCESSES 256             /* that have copied a line */
#define RELAY_HELD 4096                 /* copies that wait for their origin line */
#define RELAY_HELD_BYTES (4U << 20)
#define RELAY_HOLD_NS 200000000ULL

struct relay;

/*
 * A line of the container's stream, with its origin's request, unit, thread and times when it is
 * a copy: whole, or behind a prefix that ends in a blank,
 * plain or in quotation marks. `durable` as it was given. The line lives
 * until the function returns.
 */
typedef void (*relay_fn)(void *ctx, const struct line *line, bool durable);

struct relay *relay__new(relay_fn fn, void *ctx);
struct relay *relay__free(struct relay *relay);

/* A line of an inner stream waits for its copy, and copies that came before it go. */
void relay__origin(struct relay *relay, const struct line *line);

/*
 * A line of a container's stream goes on to the callback, mostly at once. A relay may be faster
 * than what captures: it reads a line and writes its copy before the write that it read has
 * returned, and so the copy is captured first. So a line without origin waits a moment for it, if
 * its process has relayed before; those of the process that come behind it wait with it.
 */
void relay__line(struct relay *relay, const struct line *line, bool durable);

/* What waited too long goes as it is; returns when to call again, UINT64_MAX: nothing waits. */
uint64_t relay__tick(struct relay *relay, uint64_t now_ns);

/* Everything goes as it is. */
void relay__flush(struct relay *relay);

/* The lowest position of a line that waits to go on, UINT64_MAX: there is none. */
uint64_t relay__held(const struct relay *relay);

#endif
