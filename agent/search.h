/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search: records of a history's file that a query asks for. Opened and used by one thread; several
 * may be open on one file while it is written.
 */
#ifndef REQTAP_SEARCH_H
#define REQTAP_SEARCH_H

#include "agent/heap.h"
#include "agent/match.h"
#include "agent/query.h"

#define SEARCH_BUCKETS_MAX 1000

/* A place in the order (time, number) of all records. */
struct search_place {
	uint64_t time_ns;
	int64_t seq;
};

struct search_range {
	uint64_t since_ns;                 /* from then on */
	uint64_t until_ns;                 /* before; UINT64_MAX: no end */
	const struct search_place *before; /* only what comes before this; NULL: no end */
	const struct search_place *after;  /* only what comes after this; NULL: no start */
	int64_t end;                       /* only numbers below; 0: no end */
};

/* Of a search that gives up at a time, with what it has. */
struct search_progress {
	uint64_t deadline_ns; /* CLOCK_MONOTONIC */
	bool partial;         /* it gave up */
	int64_t end;          /* all from this number on was looked at */
	uint64_t reached_ns;  /* about that far back in time */
};

/* `seq` is the record's number. `missing`: it is a notice of so many. False ends the search. */
typedef bool (*search_fn)(void *ctx, const struct record *record, int64_t seq, uint32_t missing);

struct search;

/* `dir`: a state directory. NULL with *ret_err: -ENOENT there is no history; else db.h. */
struct search *search__open(const char *dir, int *ret_err);
struct search *search__close(struct search *search);

/* The newest `limit` that match, in order of time. `progress` may be NULL. 0 or negative errno. */
int search__newest(struct search *search, const struct query *query,
		   const struct search_range *range, size_t limit, struct search_progress *progress,
		   search_fn fn, void *ctx);

/* All that match, in order of time, in bounded memory. */
int search__all(struct search *search, const struct query *query, const struct search_range *range,
		search_fn fn, void *ctx);

/* Puts what matches of the next chunk that holds number *cursor, or follows it, into the heap; the
 * cursor goes behind it. -ENOENT: nothing came yet. */
int search__arrived(struct search *search, struct match *match, int64_t *cursor, struct heap *heap);

/* A heap's item as a record, for `fn`, whose answer it returns. */
bool search__give(struct search *search, struct match *match, const struct heap_item *item,
		  search_fn fn, void *ctx);

/* Records by level in `count` buckets of equal length from since_ns on, which are zeroed first.
 * Ends at `deadline_ns` (CLOCK_MONOTONIC); *ret_from then says from when on the counts are whole.
 */
int search__histogram(struct search *search, const struct query *query, uint64_t since_ns,
		      uint64_t bucket_ns, unsigned count, uint64_t deadline_ns,
		      uint64_t (*ret)[CHUNK_LEVELS], uint64_t *ret_from);

/* The next record's number: where a tail begins. */
int64_t search__end(struct search *search);

/* Time of the oldest record, about; 0: there is none. */
uint64_t search__oldest(struct search *search);

struct scan *search__scan(struct search *search);

#endif
