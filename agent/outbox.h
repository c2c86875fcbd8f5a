/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox: encoded batches not yet acknowledged.
 *
 * With a directory they are rows of an SQLite file (WAL): a row that is put survives the death of
 * the agent. Without one, or while the directory is full, read-only or broken, they are kept in
 * memory; the disk is tried again every second. A corrupt file is set aside, not deleted.
 *
 * Bounded by bytes and age. The oldest payload goes first, and a notice with the number of its
 * records stays in its place, so that the receiver reads about the loss where it happened.
 *
 * An entry belongs to a lane. Lanes keep their order; one entry of a lane is out at a time.
 */
#ifndef REQTAP_OUTBOX_H
#define REQTAP_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>
#include "agent/batch.h"

#define OUTBOX_LANES 4

struct outbox_config {
	const char *dir;                          /* NULL: memory only */
	uint64_t max_bytes;                       /* on disk; 0: 1 GiB */
	uint64_t max_age_ns;                      /* 0: 24 h */
	uint64_t memory_bytes;                    /* 0: 16 MiB */
	void (*say)(void *ctx, const char *line); /* one line when its state changes; or NULL */
	void *ctx;
};

struct outbox_entry {
	uint64_t id;
	const uint8_t *data; /* NULL: a notice, to be encoded by who sends it */
	size_t len;
	size_t raw_len;
	uint32_t records;
	enum compression compression;
	uint64_t first_ns;        /* UNIX time of the first record, or of the first one lost */
	uint64_t last_ns;         /* notice: UNIX time of the newest payload that was lost */
	uint64_t dropped_records; /* notice: how many were lost here */
};

struct outbox_stats {
	uint64_t payloads; /* waiting, those in flight and notices included */
	uint64_t records;
	uint64_t bytes;
	uint64_t memory_bytes; /* of these, in memory */
	uint64_t oldest_ns;    /* UNIX time of the oldest record; 0: empty */
	uint64_t dropped_full; /* records dropped by the bound of bytes */
	uint64_t dropped_age;
	uint64_t dropped_removed; /* dropped with the connection */
	uint64_t lost_damaged;    /* records in files that were set aside */
	uint64_t disk_faults;
	uint64_t set_aside; /* corrupt files */
	bool on_disk;
};

struct outbox;

/* NULL: out of memory. A directory that cannot be used is no error: see outbox_stats. */
struct outbox *outbox__new(const struct outbox_config *config, uint64_t now_unix_ns);
struct outbox *outbox__free(struct outbox *outbox);

/* Durable when it returns 0 (on disk) or as safe as it gets (in memory). `payload` is copied.
 * -ENOSPC: larger than the bound by itself; counted. */
int outbox__put(struct outbox *outbox, unsigned lane, const struct payload *payload);

/* The oldest entry of a lane that has none out. It lives until it is done, back or split.
 * 0; -ENOENT: nothing to send in this lane. */
int outbox__take(struct outbox *outbox, unsigned lane, struct outbox_entry *ret);

/* The entry of the lane that is out: is done with, or goes back to be taken again. */
void outbox__done(struct outbox *outbox, unsigned lane);
void outbox__back(struct outbox *outbox, unsigned lane);

/* Replaces the entry that is out by its two halves, in its place. 0 or negative errno: then it
 * is out still. */
int outbox__split(struct outbox *outbox, unsigned lane, const struct payload halves[2]);

/* Drops what is older than the time and not out. */
void outbox__drop_before(struct outbox *outbox, uint64_t unix_ns);

/* Ages, and tries a broken disk again. To be called about every second. */
void outbox__tick(struct outbox *outbox, uint64_t now_unix_ns);

const struct outbox_stats *outbox__stats(struct outbox *outbox);

#endif
