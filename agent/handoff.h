/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handoff: records of threads that may be at work for a request which another thread read. They
 * wait here for the event that says whose they are (bpf/handoff.bpf.h): bounded in time, number
 * and bytes; what waited in vain goes out without an id. A thread whose records waited in vain is
 * not waited for again until it writes a response.
 *
 * A record that waits is overtaken by those of other threads: its time, given before, says when it
 * was written.
 */
#ifndef REQTAP_HANDOFF_H
#define REQTAP_HANDOFF_H

#include <stdbool.h>
#include <stdint.h>
#include "agent/line.h"
#include "agent/record.h"
#include "bpf/event.h"

#define HANDOFF_WAIT_NS 5000000000ULL /* a slow handler's first lines */
#define HANDOFF_RECORDS 8192
#define HANDOFF_BYTES (8U << 20)
#define HANDOFF_THREADS 4096

/* A record that has waited; `seq` 0: of no request. It lives until the function returns. */
typedef void (*handoff_fn)(void *ctx, struct record *record, uint64_t seq);

struct handoff_stats {
	uint64_t waiting;
	uint64_t given;   /* got a request */
	uint64_t refused; /* settled without one */
	uint64_t expired; /* waited in vain, or gave way to others */
};

struct handoff;

struct handoff *handoff__new(handoff_fn fn, void *ctx);
/* What still waits is dropped: flush first. */
struct handoff *handoff__free(struct handoff *handoff);

/* Copies the record of `line`. False: it need not wait. */
bool handoff__hold(struct handoff *handoff, const struct record *record, const struct line *line);

/* The lowest position in the ring of what waits, UINT64_MAX: nothing does. */
uint64_t handoff__held(const struct handoff *handoff);

void handoff__settle(struct handoff *handoff, const struct event_handoff *event);

/* The thread has ended: nobody settles for it any more. */
void handoff__exit(struct handoff *handoff, uint32_t tgid, uint32_t tid);

/* Lets go what waited too long; returns when to call again, UINT64_MAX: nothing waits. */
uint64_t handoff__tick(struct handoff *handoff, uint64_t now_ns);

/* Everything goes out, without an id. */
void handoff__flush(struct handoff *handoff);

const struct handoff_stats *handoff__stats(const struct handoff *handoff);

#endif
