/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history: a sink that keeps records on the node for search (search.h).
 *
 * history__record() copies the record into a buffer; a thread of its own writes full buffers, and
 * every HISTORY_FLUSH_NS what there is, so the disk never holds up the loop. When the disk does not
 * keep up, history is thinned: with HISTORY_THIN buffers waiting only WARN and above are kept, with
 * HISTORY_BUFFERS nothing is. A notice that says how many records are missing then stands in their
 * place. A damaged file is set aside; one that cannot be written is tried again every second.
 *
 * Bounded by bytes and age: the oldest go first. A record that comes again after a kill (recent.h)
 * is not kept again.
 */
#ifndef REQTAP_HISTORY_H
#define REQTAP_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include "agent/loop.h"
#include "agent/record.h"

#define HISTORY_FLUSH_NS 50000000ULL
#define HISTORY_BUFFERS 16 /* of a block each: 16 MiB at worst */
#define HISTORY_THIN 10
#define HISTORY_MAX_BYTES (512ULL << 20)
#define HISTORY_MAX_AGE_NS (7 * 24 * 3600 * 1000000000ULL)

struct history_config {
	const char *dir;
	uint64_t max_bytes;  /* 0: HISTORY_MAX_BYTES */
	uint64_t max_age_ns; /* 0: HISTORY_MAX_AGE_NS */
	void (*say)(void *ctx,
		    const char *line); /* from the loop, when its state changes; or NULL */
	void *ctx;
};

struct history_stats {
	uint64_t records;   /* taken */
	uint64_t repeated;  /* not taken: they are in the file */
	uint64_t thinned;   /* not taken: the writer did not keep up */
	uint64_t lost;      /* taken and not written: the disk refused them */
	uint64_t bytes;     /* in the file */
	uint64_t waiting;   /* buffers */
	uint64_t set_aside; /* damaged files */
	int err;            /* why nothing is written now; 0: it is */
};

struct history;

/* NULL with *ret_err: no memory, no thread, or the directory is in use by another (-EBUSY). A file
 * that cannot be written is no error: see `err`. */
struct history *history__new(struct loop *loop, const struct history_config *config, int *ret_err);

/* Writes all that was taken, and ends the thread. */
struct history *history__free(struct history *history);

/* A record_fn; `ctx` is the history. */
void history__record(void *ctx, const struct record *record);

void history__stats(struct history *history, struct history_stats *ret);

#endif
