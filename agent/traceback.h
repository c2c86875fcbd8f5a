/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traceback: a Python traceback over several lines of one thread is one record. It may come in
 * one write with the log line before it (logging.exception) or in a write per line
 * (traceback.print_exc), and chained exceptions follow one another.
 */
#ifndef REQTAP_TRACEBACK_H
#define REQTAP_TRACEBACK_H

#include <stdbool.h>
#include "agent/line.h"

#define TRACEBACK_MAX_BYTES (64 * 1024)
#define TRACEBACK_OPEN_MAX 256             /* threads inside a traceback at once */
#define TRACEBACK_WAIT_NS 100000000ULL     /* for the next line; a chain goes on at once */
#define TRACEBACK_LONGEST_NS 5000000000ULL /* from its first line: it holds ring space */

struct traceback {
	const struct line *line; /* of the head, or the traceback's first; its text is `message` */
	struct str text;         /* the formatted traceback, its lines joined by "\n" */
};

typedef void (*traceback_fn)(void *ctx, const struct traceback *traceback);

struct traceback_joiner;

struct traceback_joiner *traceback_joiner__new(traceback_fn fn, void *ctx);
struct traceback_joiner *traceback_joiner__free(struct traceback_joiner *joiner);

/*
 * True: the line is part of a traceback and was taken. False: it is not; a traceback of its
 * thread that it ends has been handed out before.
 */
bool traceback_joiner__line(struct traceback_joiner *joiner, const struct line *line);

/* Hands out what waited too long; returns when to call again. */
uint64_t traceback_joiner__tick(struct traceback_joiner *joiner, uint64_t now_ns);

/* The lowest position of what waits, UINT64_MAX: nothing does. */
uint64_t traceback_joiner__held(const struct traceback_joiner *joiner);

/* The thread is gone, or all of them (tid 0): nothing more comes. */
void traceback_joiner__exit(struct traceback_joiner *joiner, uint32_t tid);

#endif
