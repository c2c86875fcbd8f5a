/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive: batches of records into the store, and what is too old or too much out of it.
 *
 * A batch is at first a tail: a row as it came, to be read at once. Tails grow into a block of
 * ARCHIVE_BLOCK_RECORDS or ARCHIVE_BLOCK_BYTES, which is compressed and replaces them; so many
 * blocks make a segment, which has a filter and its request ids by bucket (keys.h). What is open
 * is read back from the store after a restart.
 */
#ifndef REQTAP_ARCHIVE_H
#define REQTAP_ARCHIVE_H

#include "agent/store.h"

#define ARCHIVE_BLOCK_RECORDS 4096
#define ARCHIVE_BLOCK_BYTES (1 << 20)

struct archive_limits {
	uint64_t max_bytes;
	uint64_t max_age_ns;
};

/* Entries of chunk.h, and the identities that they name. A record larger than a block is alone. */
struct archive_batch {
	const uint8_t *data;
	size_t len;
	uint32_t records;
	struct store_identity *identities; /* their times and counts are filled in */
	unsigned identity_count;
};

struct archive;

/* Opens the file, and makes it where there is none. NULL with *ret_err (db.h). */
struct archive *archive__open(const char *path, const struct archive_limits *limits, int *ret_err);
struct archive *archive__close(struct archive *archive);

/* One transaction. After an error the archive is to be closed and opened again: what it has open
 * and what the store holds may differ. */
int archive__add(struct archive *archive, const struct archive_batch *batch, uint64_t unix_ns);

/* Drops what is too old. Same rule. */
int archive__age(struct archive *archive, uint64_t unix_ns);

struct store *archive__store(struct archive *archive);

#endif
