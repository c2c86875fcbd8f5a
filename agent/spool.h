/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool: rows of encoded payloads in one SQLite database, on disk (WAL) or in memory. The store
 * under the outbox; it knows nothing of bounds and retries.
 *
 * All functions return 0 or a negative errno of db.h.
 *
 * Rows are ordered by id. Ids are handed out in steps of SPOOL_STEP, so that a row can be split
 * in its place.
 */
#ifndef REQTAP_SPOOL_H
#define REQTAP_SPOOL_H

#include <stddef.h>
#include <stdint.h>
#include "agent/compress.h"

#define SPOOL_STEP (1 << 20)
/* Counted to a row above its data: its other columns, its index entry. */
#define SPOOL_ROW_BYTES 128

struct spool_row {
	int64_t id;
	unsigned lane;
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t records; /* 0 in a notice */
	uint64_t dropped; /* 0 in a payload; in a notice how many records were dropped here */
	size_t raw_len;
	enum compression compression;
	const uint8_t *data;
	size_t len;
};

struct spool_totals {
	uint64_t rows;
	uint64_t records;
	uint64_t bytes;
};

struct spool;

/* `path` NULL: in memory. NULL with *ret_err. */
struct spool *spool__open(const char *path, int *ret_err);
struct spool *spool__close(struct spool *spool);

const struct spool_totals *spool__totals(const struct spool *spool);
/* The highest id, 0: there is no row. */
int64_t spool__last_id(struct spool *spool);

int spool__put(struct spool *spool, const struct spool_row *row);
int spool__delete(struct spool *spool, int64_t id);

/* First row of a lane beyond id `after`; *ret_data is malloc'd (NULL for a notice), the caller
 * frees it. -ENOENT: none. */
int spool__first(struct spool *spool, unsigned lane, int64_t after, struct spool_row *ret,
		 uint8_t **ret_data);

/* First payload (no notice) of all lanes, without its data, but those of `skip`. -ENOENT: none. */
int spool__oldest(struct spool *spool, const int64_t skip[], size_t skip_count,
		  struct spool_row *ret);

/* Its records are dropped: it becomes a notice, or adds to that of its lane which stands just
 * before it and is not one of `skip`. */
int spool__drop(struct spool *spool, const struct spool_row *row, const int64_t skip[],
		size_t skip_count);

/* Replaces a row by two of the same lane, the second at an id before the next row's. */
int spool__split(struct spool *spool, int64_t id, const struct spool_row halves[2]);

#endif
