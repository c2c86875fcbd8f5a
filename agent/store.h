/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: history's SQLite file (WAL), the writing side. It knows tables, not records.
 *
 *   chunk     records seq … seq + records - 1; a tail as it came, or a block, compressed
 *   segment   FILTER_BLOCKS blocks: where, when, which levels
 *   filter    a segment's filter matrix, a row of words each
 *   request   a segment's request ids, a row for each bucket of keys.h
 *   loose     the filter maps and keys of blocks that are in no segment yet
 *   identity  whose lines there are: a struct replica each, and when its lines were
 *
 * A record's number (seq) is its place in the order of arrival; it never changes. Readers
 * (search.h) see whole transactions only.
 *
 * A file of its own beside the outbox's: SQLite has one writer a file, and a put of the outbox must
 * never wait for history; nor may history be lost where the outbox starts its file anew.
 *
 * Functions return 0 or a negative errno of db.h.
 */
#ifndef REQTAP_STORE_H
#define REQTAP_STORE_H

#include "agent/filter.h"
#include "agent/keys.h"
#include "agent/store_row.h"

#define STORE_FILE "history.db"
#define STORE_FORMAT 3 /* user_version; another one is set aside */

struct store;

/* `path` NULL: in memory. NULL with *ret_err. */
struct store *store__open(const char *path, int *ret_err);
struct store *store__close(struct store *store);

int store__begin(struct store *store);
int store__commit(struct store *store);
void store__rollback(struct store *store);

/* `raw_len` is 0 for a tail, which stands as it is; of a block the data is zstd. The chunks that
 * hold the same records are replaced. */
int store__put_chunk(struct store *store, const struct store_block *block, size_t raw_len,
		     const void *data, size_t len);

/* What lies by itself of a block until a segment has it. */
struct store_loose {
	const struct filter_map *map;
	const uint32_t *keys;
	uint32_t key_count;
};

int store__put_loose(struct store *store, const struct store_block *block,
		     const struct store_loose *loose);

int store__put_segment(struct store *store, const struct store_block blocks[FILTER_BLOCKS],
		       const struct filter_matrix *matrix, const struct keys_sorted *keys);

/* New, or its times and count widened. */
int store__put_identity(struct store *store, const struct store_identity *identity);

/* Each one known; the texts live until the callback returns. */
int store__identities(struct store *store,
		      void (*fn)(void *ctx, const struct store_identity *identity), void *ctx);

/* Chunks that are in no segment yet, in order: a tail with its data, a block without, for which
 * `loose->map` is set. They live until the callback returns, whose error ends it. */
int store__loose(struct store *store,
		 int (*fn)(void *ctx, const struct store_block *block,
			   const struct store_loose *loose, const void *data, size_t len),
		 void *ctx);

/* Behind the last record: the next record's number, at least 1. */
int64_t store__end(struct store *store);

/* Bytes that chunks and filters take. */
uint64_t store__bytes(const struct store *store);

/* Deletes the oldest segment, or, when there is none, the oldest chunk, if its newest record is
 * older than the time, and identities that are older than all; -ENOENT: none is. */
int store__drop_oldest(struct store *store, uint64_t before_ns);

/* Gives free pages back to the disk. */
int store__trim(struct store *store);

#endif
