/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup: where in history's file request ids may occur (keys.h). What it found holds as long as
 * the read transaction in which it looked.
 */
#ifndef REQTAP_LOOKUP_H
#define REQTAP_LOOKUP_H

#include <sqlite3.h>
#include <stdint.h>

/* A segment that has one of the keys, or a block that is in no segment. */
struct lookup_hit {
	int64_t seq, end_seq;
	uint32_t
		slots; /* of a segment's blocks, those that have it, a bit each; 0: a block alone */
};

struct lookup;

/* `db` outlives it. NULL with *ret_err. */
struct lookup *lookup__new(sqlite3 *db, int *ret_err);
struct lookup *lookup__free(struct lookup *lookup);

/* Looks for any of the keys where records from number `from_seq` on are. 0 or negative errno. */
int lookup__find(struct lookup *lookup, const uint32_t *keys, unsigned count, int64_t from_seq);

/* The last hit that begins before `seq`, the first that ends behind it; NULL: none does. */
const struct lookup_hit *lookup__before(const struct lookup *lookup, int64_t seq);
const struct lookup_hit *lookup__after(const struct lookup *lookup, int64_t seq);

/* Of records with this number or a higher one it says nothing: they are not indexed yet. */
int64_t lookup__end(const struct lookup *lookup);

#endif
