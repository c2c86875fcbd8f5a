/* SPDX-License-Identifier: Apache-2.0 */
/* store_row: rows of history's file, as its writer (store.h) and its readers (scan.h) select them.
 */
#ifndef REQTAP_STORE_ROW_H
#define REQTAP_STORE_ROW_H

#include <sqlite3.h>
#include "agent/chunk.h"

/* What a segment says of each of its blocks; as it stands in the file. */
struct store_block {
	int64_t seq;
	uint64_t first_ns; /* the earliest and the latest time in it */
	uint64_t last_ns;
	uint32_t records;
	uint32_t missing;
	uint32_t levels[CHUNK_LEVELS];
};

struct store_identity {
	uint32_t id;
	struct replica replica;
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t records; /* to be added */
};

/* The columns of a chunk that make its block, from the first on. */
#define STORE_ROW_BLOCK "seq, records, missing, first_ns, last_ns, levels"
void store_row__block(sqlite3_stmt *statement, struct store_block *ret);

/* Calls `fn` for each row of this; the texts live until it returns. 0 or negative errno. */
#define STORE_ROW_IDENTITIES "SELECT * FROM identity ORDER BY id"
int store_row__identities(sqlite3_stmt *statement,
			  void (*fn)(void *ctx, const struct store_identity *identity), void *ctx);

#endif
