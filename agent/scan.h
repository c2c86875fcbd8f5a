/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan: history's file, the reading side: chunk after chunk, those left out that cannot hold what
 * is searched. A few hundred steps share a read transaction, so that a long reading does not keep
 * the writer's log from being reused; chunks that went meanwhile are passed over.
 */
#ifndef REQTAP_SCAN_H
#define REQTAP_SCAN_H

#include "agent/scan_plan.h"
#include "agent/store.h"

struct scan_chunk {
	struct store_block block;
	bool tail;           /* of times and levels its block says more than is in it */
	const uint8_t *data; /* NULL: not loaded */
	size_t len;
};

struct scan;

/* NULL with *ret_err: -ENOENT no such file; else db.h. */
struct scan *scan__open(const char *path, int *ret_err);
struct scan *scan__close(struct scan *scan);

/* What the next steps look for. The plan must outlive them; its times may be narrowed meanwhile. */
void scan__begin(struct scan *scan, const struct scan_plan *plan);

/*
 * The next chunk backwards, of records before *cursor, or forwards, from *cursor on, which moves.
 * One that straddles *cursor is given whole. A tail comes loaded. -ENOENT: there is none.
 */
int scan__before(struct scan *scan, int64_t *cursor, struct scan_chunk *ret);
int scan__after(struct scan *scan, int64_t *cursor, struct scan_chunk *ret);

/* Ends the transaction that steps share: before anything that may wait, and at the end. */
void scan__release(struct scan *scan);

/* Its data, which lives until the next call of these three. -ENOENT: it is gone. */
int scan__load(struct scan *scan, struct scan_chunk *chunk);

/* The next record's number; 1: there is none. */
int64_t scan__end(struct scan *scan);

/* A number that differs whenever the file was written. */
uint32_t scan__version(struct scan *scan);

/* Another file stands under the path now. */
bool scan__is_stale(const struct scan *scan);

int scan__identities(struct scan *scan,
		     void (*fn)(void *ctx, const struct store_identity *identity), void *ctx);

/* Bytes of chunks read and decompressed so far. */
uint64_t scan__bytes(const struct scan *scan);

#endif
