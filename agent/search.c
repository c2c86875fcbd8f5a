/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/search.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HOLD_RECORDS 32768    /* to be put in order, at most */
#define HOLD_NS 2000000000ULL /* nothing comes so much later than what is newer */

struct search {
	struct scan *scan;
};

/* One search, handed down. */
struct job {
	struct search *search;
	struct match *match;
	struct scan_plan *plan;
	const struct search_range *range;
	struct search_progress *progress; /* or NULL */
	struct heap *heap;
	size_t limit;
	search_fn fn;
	void *ctx;
	bool ended;         /* by fn */
	int64_t first, end; /* numbers that count: a chunk may straddle */
};

struct search *search__open(const char *dir, int *ret_err)
{
	struct search *search = calloc(1, sizeof(*search));
	char path[PATH_MAX];

	*ret_err = -ENOMEM;
	if (!search)
		return NULL;
	snprintf(path, sizeof(path), "%s/" STORE_FILE, dir);
	search->scan = scan__open(path, ret_err);
	return *ret_err ? search__close(search) : search;
}

struct search *search__close(struct search *search)
{
	if (search)
		scan__close(search->scan);
	free(search);
	return NULL;
}

struct scan *search__scan(struct search *search)
{
	return search->scan;
}

/* Calls `each` for the chunk's records that match. */
static int each_match(struct job *job, const struct scan_chunk *chunk,
		      int (*each)(struct job *job, const struct heap_item *item,
				  struct record *record, const struct chunk_entry *entry))
{
	int64_t seq = chunk->block.seq;
	struct chunk_entry entry;
	struct record record;
	size_t at = 0, from = 0;
	int err = 0;

	for (; !err && !job->ended; seq++, from = at) {
		err = chunk__next(chunk->data, chunk->len, &at, &record, &entry);
		if (err)
			break;
		if (seq < job->first || seq >= job->end)
			continue;
		err = match__record(job->match, job->search->scan, &record, &entry);
		if (err <= 0)
			continue;
		err = each(job,
			   &(struct heap_item){ .time_ns = record.time_ns,
						.seq = seq,
						.data = (uint8_t *)(uintptr_t)chunk->data + from,
						.len = at - from },
			   &record, &entry);
	}
	return err == -ENOENT ? 0 : err;
}

bool search__give(struct search *search, struct match *match, const struct heap_item *item,
		  search_fn fn, void *ctx)
{
	struct chunk_entry entry;
	struct record record;
	size_t at = 0;

	if (chunk__next(item->data, item->len, &at, &record, &entry) ||
	    match__record(match, search->scan, &record, &entry) < 0)
		return true;
	return fn(ctx, &record, item->seq, entry.missing);
}

/* Whoever takes it may wait, for a terminal or a socket. */
static bool give(struct job *job, const struct heap_item *item)
{
	scan__release(job->search->scan);
	return search__give(job->search, job->match, item, job->fn, job->ctx);
}

static bool is_before(const struct heap_item *item, const struct search_place *place)
{
	if (item->time_ns != place->time_ns)
		return item->time_ns < place->time_ns;
	return item->seq < place->seq;
}

static bool is_in_range(const struct heap_item *item, const struct search_range *range)
{
	if (range->before && !is_before(item, range->before))
		return false;
	return !range->after || (!is_before(item, range->after) && item->seq != range->after->seq);
}

static int keep_newest(struct job *job, const struct heap_item *item, struct record *record,
		       const struct chunk_entry *entry)
{
	const struct heap_item *oldest = heap__first(job->heap);
	int err;

	if (!is_in_range(item, job->range))
		return 0;
	if (heap__count(job->heap) == job->limit) {
		if (heap__before(item, oldest))
			return 0;
		heap__drop(job->heap);
	}
	err = heap__put(job->heap, item);
	/* once there are enough, what is older than all of them needs no look */
	if (!err && heap__count(job->heap) == job->limit)
		job->plan->since_ns = heap__first(job->heap)->time_ns;
	return err;
}

static int start(struct job *job, struct search *search, const struct query *query,
		 const struct search_range *range)
{
	int err;

	job->search = search;
	job->range = range;
	job->end = range->end ? range->end : INT64_MAX;
	job->match = match__new(query);
	job->heap = heap__new();
	if (!job->match || !job->heap)
		return -ENOMEM;
	err = match__identities(job->match, search->scan);
	job->plan = match__plan(job->match);
	job->plan->since_ns = range->since_ns;
	job->plan->until_ns = range->until_ns;
	if (range->before && range->before->time_ns < range->until_ns)
		job->plan->until_ns = range->before->time_ns + 1;
	scan__begin(search->scan, job->plan);
	return err;
}

static void finish(struct job *job)
{
	scan__release(job->search->scan);
	match__free(job->match);
	heap__free(job->heap);
}

static uint64_t monotonic_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* All records from `cursor` on were looked at; true: it is time to give up. */
static bool is_late(struct job *job, int64_t cursor, const struct scan_chunk *chunk)
{
	if (!job->progress)
		return false;
	job->progress->end = cursor;
	job->progress->reached_ns = chunk->block.first_ns;
	job->progress->partial = monotonic_now() > job->progress->deadline_ns;
	return job->progress->partial;
}

/* Backwards, from the newest; `each` may narrow the plan's times. */
static int walk_back(struct job *job, int (*each)(struct job *, const struct heap_item *,
						  struct record *, const struct chunk_entry *))
{
	int64_t cursor = job->end;
	struct scan_chunk chunk;
	int err = 0;

	while (!err && !job->ended) {
		job->end = cursor;
		err = scan__before(job->search->scan, &cursor, &chunk);
		if (!err)
			err = scan__load(job->search->scan, &chunk);
		else if (err == -ENOENT)
			return 0;
		if (!err)
			err = each_match(job, &chunk, each);
		else if (err == -ENOENT)
			err = 0; /* it went meanwhile */
		if (!err && is_late(job, cursor, &chunk))
			break;
	}
	return err;
}

/* A heap gives the oldest first. */
static void give_all(struct job *job)
{
	while (!job->ended && heap__count(job->heap)) {
		job->ended = !give(job, heap__first(job->heap));
		heap__drop(job->heap);
	}
}

int search__newest(struct search *search, const struct query *query,
		   const struct search_range *range, size_t limit, struct search_progress *progress,
		   search_fn fn, void *ctx)
{
	struct job job = { .fn = fn, .ctx = ctx, .limit = limit, .progress = progress };
	int err = start(&job, search, query, range);

	if (!err && limit)
		err = walk_back(&job, keep_newest);
	if (!err) {
		job.plan->since_ns = range->since_ns;
		give_all(&job);
	}
	finish(&job);
	return err;
}

static int hold(struct job *job, const struct heap_item *item, struct record *record,
		const struct chunk_entry *entry)
{
	if (!is_in_range(item, job->range))
		return 0;
	return heap__put(job->heap, item);
}

/* Gives what nothing to come can be older than; `newest_ns` was the latest time so far. */
static void give_due(struct job *job, uint64_t newest_ns)
{
	while (!job->ended && heap__count(job->heap)) {
		const struct heap_item *first = heap__first(job->heap);

		if (heap__count(job->heap) <= HOLD_RECORDS && first->time_ns + HOLD_NS >= newest_ns)
			return;
		job->ended = !give(job, first);
		heap__drop(job->heap);
	}
}

int search__all(struct search *search, const struct query *query, const struct search_range *range,
		search_fn fn, void *ctx)
{
	struct job job = { .fn = fn, .ctx = ctx };
	int err = start(&job, search, query, range);
	int64_t cursor = 0;
	uint64_t newest_ns = 0;
	struct scan_chunk chunk;

	while (!err && !job.ended) {
		job.first = cursor;
		err = scan__after(search->scan, &cursor, &chunk);
		if (err == -ENOENT)
			break;
		if (!err)
			err = scan__load(search->scan, &chunk);
		if (err == -ENOENT) {
			err = 0;
			continue;
		}
		if (!err)
			err = each_match(&job, &chunk, hold);
		if (!err && chunk.block.last_ns > newest_ns)
			newest_ns = chunk.block.last_ns;
		if (!err)
			give_due(&job, newest_ns);
	}
	if (err == -ENOENT)
		err = 0;
	if (!err)
		give_all(&job);
	finish(&job);
	return err;
}

static int take(struct job *job, const struct heap_item *item, struct record *record,
		const struct chunk_entry *entry)
{
	return heap__put(job->heap, item);
}

int search__arrived(struct search *search, struct match *match, int64_t *cursor, struct heap *heap)
{
	struct job job = {
		.search = search, .match = match, .heap = heap, .first = *cursor, .end = INT64_MAX
	};
	struct scan_chunk chunk;
	int err;

	scan__begin(search->scan, match__plan(match));
	err = scan__after(search->scan, cursor, &chunk);
	if (!err) {
		err = scan__load(search->scan, &chunk);
		if (!err)
			err = each_match(&job, &chunk, take);
		else if (err == -ENOENT)
			err = 0; /* it went meanwhile */
	}
	scan__release(search->scan);
	return err;
}

struct histogram {
	uint64_t since_ns, bucket_ns;
	unsigned count;
	uint64_t (*counts)[CHUNK_LEVELS];
};

static int count_one(struct job *job, const struct heap_item *item, struct record *record,
		     const struct chunk_entry *entry)
{
	struct histogram *histogram = job->ctx;
	uint64_t bucket = (record->time_ns - histogram->since_ns) / histogram->bucket_ns;

	if (bucket < histogram->count && !entry->missing)
		histogram->counts[bucket][chunk__level(record->severity)]++;
	return 0;
}

/* A block that lies within one bucket needs no look where only levels count. */
static bool count_block(struct job *job, const struct scan_chunk *chunk)
{
	struct histogram *histogram = job->ctx;
	const struct store_block *block = &chunk->block;
	uint64_t bucket = (block->first_ns - histogram->since_ns) / histogram->bucket_ns;

	if (!match__is_plain(job->match) || chunk->tail || block->missing ||
	    block->seq + block->records > job->end || block->first_ns < histogram->since_ns ||
	    (block->last_ns - histogram->since_ns) / histogram->bucket_ns != bucket ||
	    bucket >= histogram->count)
		return false;
	for (unsigned level = 0; level < CHUNK_LEVELS; level++)
		if (job->plan->levels & 1U << level)
			histogram->counts[bucket][level] += block->levels[level];
	return true;
}

int search__histogram(struct search *search, const struct query *query, uint64_t since_ns,
		      uint64_t bucket_ns, unsigned count, uint64_t deadline_ns,
		      uint64_t (*ret)[CHUNK_LEVELS], uint64_t *ret_from)
{
	struct histogram histogram = { since_ns, bucket_ns, count, ret };
	const struct search_range range = { .since_ns = since_ns,
					    .until_ns = since_ns + bucket_ns * count };
	struct job job = { .ctx = &histogram };
	int64_t cursor = INT64_MAX;
	struct scan_chunk chunk;
	int err = start(&job, search, query, &range);

	memset(ret, 0, count * sizeof(*ret));
	*ret_from = since_ns;
	while (!err) {
		job.end = cursor;
		err = scan__before(search->scan, &cursor, &chunk);
		if (err)
			break;
		if (monotonic_now() > deadline_ns) {
			*ret_from = chunk.block.last_ns;
			break;
		}
		if (count_block(&job, &chunk))
			continue;
		err = scan__load(search->scan, &chunk);
		if (!err)
			err = each_match(&job, &chunk, count_one);
		else if (err == -ENOENT)
			err = 0;
	}
	finish(&job);
	return err == -ENOENT ? 0 : err;
}

int64_t search__end(struct search *search)
{
	return scan__end(search->scan);
}

uint64_t search__oldest(struct search *search)
{
	const struct scan_plan all = { .until_ns = UINT64_MAX, .levels = ~0U };
	struct scan_chunk chunk;
	int64_t cursor = 0;
	int err;

	scan__begin(search->scan, &all);
	err = scan__after(search->scan, &cursor, &chunk);
	scan__release(search->scan);
	return err ? 0 : chunk.block.first_ns;
}
