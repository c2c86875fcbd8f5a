/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/archive.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>
#include "agent/query.h"

#define ZSTD_LEVEL 1

_Static_assert(KEYS_BLOCK_MAX >= ARCHIVE_BLOCK_RECORDS, "a block's keys find room");

/* Where an entry of a batch is. */
struct place {
	uint64_t time_ns;
	size_t at, len;
};

struct buffer {
	uint8_t *data;
	size_t size;
};

struct archive {
	struct store *store;
	struct archive_limits limits;
	ZSTD_CCtx *zstd;
	struct buffer packed; /* a block, compressed */
	/* the open block */
	struct store_block block;
	struct filter_map map;
	struct keys_set keys;
	struct buffer raw;
	size_t raw_len;
	/* the open segment */
	struct store_block blocks[FILTER_BLOCKS];
	unsigned block_count;
	struct filter_matrix matrix;
	struct keys_segment segment_keys;
	struct keys_sorted sorted_keys;
	/* a batch in order of time */
	struct buffer places; /* struct place */
	struct buffer sorted;
	struct buffer folded; /* a text in lower case */
};

/* Grows to `need`; what it holds stays. */
static int reserve(struct buffer *buffer, size_t need)
{
	uint8_t *grown;

	if (need <= buffer->size)
		return 0;
	grown = realloc(buffer->data, need);
	if (!grown)
		return -ENOMEM;
	buffer->data = grown;
	buffer->size = need;
	return 0;
}

static void start_block(struct archive *a, int64_t seq)
{
	a->block = (struct store_block){ .seq = seq, .first_ns = UINT64_MAX };
	memset(&a->map, 0, sizeof(a->map));
	memset(&a->keys, 0, sizeof(a->keys));
	a->raw_len = 0;
}

static int add_text(struct archive *a, struct str text)
{
	char *folded;

	if (reserve(&a->folded, text.len))
		return -ENOMEM;
	folded = (char *)a->folded.data;
	query__fold(text.data, text.len, folded);
	filter__add_text(&a->map, folded, text.len);
	return 0;
}

/* Counts a record into the open block and its filter. */
static int count_record(struct archive *a, const struct record *record,
			const struct chunk_entry *entry)
{
	struct store_block *block = &a->block;
	int err;

	if (block->records == ARCHIVE_BLOCK_RECORDS)
		return -EBADMSG; /* not our writing */
	err = add_text(a, record->message);
	if (!err && record->exc_info.len)
		err = add_text(a, record->exc_info);
	if (record->request_id.len)
		keys__add(&a->keys, keys__of(record->request_id));
	filter__add_identity(&a->map, entry->identity);
	if (record->time_ns < block->first_ns)
		block->first_ns = record->time_ns;
	if (record->time_ns > block->last_ns)
		block->last_ns = record->time_ns;
	block->records++;
	block->missing += entry->missing;
	block->levels[chunk__level(record->severity)]++;
	return err;
}

/* Entries go to the end of the open block. */
static int append(struct archive *a, const uint8_t *data, size_t len)
{
	struct chunk_entry entry;
	struct record record;
	size_t at = 0;
	int err = reserve(&a->raw, a->raw_len + len);

	if (err)
		return err;
	memcpy(a->raw.data + a->raw_len, data, len);
	a->raw_len += len;
	while (!err) {
		err = chunk__next(data, len, &at, &record, &entry);
		if (!err)
			err = count_record(a, &record, &entry);
	}
	return err == -ENOENT ? 0 : err;
}

static int close_segment(struct archive *a)
{
	int err;

	keys__sort(&a->segment_keys, a->block_count, &a->sorted_keys);
	err = store__put_segment(a->store, a->blocks, &a->matrix, &a->sorted_keys);
	a->block_count = 0;
	memset(&a->matrix, 0, sizeof(a->matrix));
	return err;
}

/* The open block is whole: it gets its slot of the segment. */
static int place_block(struct archive *a)
{
	filter__transpose(&a->matrix, a->block_count, &a->map);
	keys__put(&a->segment_keys, a->block_count, a->keys.slots, a->keys.count);
	a->blocks[a->block_count++] = a->block;
	start_block(a, a->block.seq + a->block.records);
	return a->block_count == FILTER_BLOCKS ? close_segment(a) : 0;
}

static int put_loose(struct archive *a)
{
	struct store_loose loose = { .map = &a->map };

	keys__pack(&a->keys);
	loose.keys = a->keys.slots;
	loose.key_count = a->keys.count;
	return store__put_loose(a->store, &a->block, &loose);
}

static int close_block(struct archive *a)
{
	size_t len;
	int err = reserve(&a->packed, ZSTD_compressBound(a->raw_len));

	if (err)
		return err;
	len = ZSTD_compressCCtx(a->zstd, a->packed.data, a->packed.size, a->raw.data, a->raw_len,
				ZSTD_LEVEL);
	if (ZSTD_isError(len))
		return -EIO;
	err = store__put_chunk(a->store, &a->block, a->raw_len, a->packed.data, len);
	if (!err)
		err = put_loose(a);
	return err ? err : place_block(a);
}

static int put_tail(struct archive *a, int64_t seq, uint32_t records, const uint8_t *data,
		    size_t len)
{
	/* of the open block's times and levels a tail's are a part */
	struct store_block block = a->block;

	block.seq = seq;
	block.records = records;
	return store__put_chunk(a->store, &block, 0, data, len);
}

static int by_time(const void *left, const void *right)
{
	const struct place *a = left, *b = right;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return a->at < b->at ? -1 : a->at > b->at;
}

/* Counts the record to its identity; those of a batch are few. */
static void count_identity(const struct archive_batch *batch, const struct record *record,
			   uint32_t id)
{
	for (unsigned i = 0; i < batch->identity_count; i++) {
		struct store_identity *identity = &batch->identities[i];

		if (identity->id != id)
			continue;
		if (!identity->records || record->time_ns < identity->first_ns)
			identity->first_ns = record->time_ns;
		if (record->time_ns > identity->last_ns)
			identity->last_ns = record->time_ns;
		identity->records++;
		return;
	}
}

/* Finds the batch's entries; true when they are not in order of time. */
static int find_places(struct archive *a, const struct archive_batch *batch, bool *ret_mixed)
{
	size_t at = 0, count = 0;
	struct place *places;
	struct chunk_entry entry;
	struct record record;
	int err = reserve(&a->places, batch->records * sizeof(struct place));

	*ret_mixed = false;
	if (err)
		return err;
	places = (struct place *)a->places.data;
	for (size_t from = 0; count < batch->records; from = at) {
		err = chunk__next(batch->data, batch->len, &at, &record, &entry);
		if (err)
			return -EINVAL;
		count_identity(batch, &record, entry.identity);
		places[count++] = (struct place){ record.time_ns, from, at - from };
		if (count > 1 && by_time(&places[count - 2], &places[count - 1]) > 0)
			*ret_mixed = true;
	}
	return 0;
}

/* Streams come one after the other: within a batch they are put in order of time. */
static int sort(struct archive *a, const struct archive_batch *batch, const uint8_t **ret)
{
	const struct place *places;
	bool mixed;
	int err = find_places(a, batch, &mixed);
	size_t to = 0;

	*ret = batch->data;
	if (err || !mixed)
		return err;
	if (reserve(&a->sorted, batch->len))
		return -ENOMEM;
	qsort(a->places.data, batch->records, sizeof(*places), by_time);
	places = (const struct place *)a->places.data;
	for (uint32_t i = 0; i < batch->records; i++) {
		memcpy(a->sorted.data + to, batch->data + places[i].at, places[i].len);
		to += places[i].len;
	}
	*ret = a->sorted.data;
	return 0;
}

static bool is_full(const struct archive *a, size_t more_records, size_t more_bytes)
{
	return a->block.records + more_records > ARCHIVE_BLOCK_RECORDS ||
	       a->raw_len + more_bytes > ARCHIVE_BLOCK_BYTES;
}

/* A block that is nearly full is closed: the next batch would not fit. */
static int put_batch(struct archive *a, const struct archive_batch *batch, const uint8_t *data)
{
	int err = 0;
	int64_t seq;

	if (a->block.records && is_full(a, batch->records, batch->len))
		err = close_block(a);
	seq = a->block.seq + a->block.records;
	if (!err)
		err = append(a, data, batch->len);
	if (err)
		return err;
	if (is_full(a, ARCHIVE_BLOCK_RECORDS / 16, ARCHIVE_BLOCK_BYTES / 16))
		return close_block(a);
	return put_tail(a, seq, batch->records, data, batch->len);
}

static int keep_bounds(struct archive *a, uint64_t unix_ns)
{
	uint64_t before_ns = unix_ns > a->limits.max_age_ns ? unix_ns - a->limits.max_age_ns : 0;
	int err = 0;

	while (!err && store__bytes(a->store) > a->limits.max_bytes)
		err = store__drop_oldest(a->store, UINT64_MAX);
	while (!err)
		err = store__drop_oldest(a->store, before_ns);
	return err == -ENOENT ? 0 : err;
}

int archive__add(struct archive *a, const struct archive_batch *batch, uint64_t unix_ns)
{
	const uint8_t *data;
	int err = store__begin(a->store);

	if (err)
		return err;
	err = sort(a, batch, &data);
	if (!err)
		err = put_batch(a, batch, data);
	for (unsigned i = 0; i < batch->identity_count && !err; i++)
		err = store__put_identity(a->store, &batch->identities[i]);
	if (!err)
		err = keep_bounds(a, unix_ns);
	if (err)
		store__rollback(a->store);
	return err ? err : store__commit(a->store);
}

int archive__age(struct archive *a, uint64_t unix_ns)
{
	int err = store__begin(a->store);

	if (!err)
		err = keep_bounds(a, unix_ns);
	if (err)
		store__rollback(a->store);
	return err ? err : store__commit(a->store);
}

/* What was open when the last writer ended is open again. */
static int read_loose(void *ctx, const struct store_block *block, const struct store_loose *loose,
		      const void *data, size_t len)
{
	struct archive *a = ctx;

	if (!a->block.records)
		start_block(a, block->seq);
	if (!loose->map)
		return append(a, data, len);
	/* a block behind a tail, or more than a segment's: not our writing */
	if (a->block.records || a->block_count == FILTER_BLOCKS - 1 ||
	    loose->key_count > KEYS_BLOCK_MAX)
		return -EBADMSG;
	a->block = *block;
	a->map = *loose->map;
	if (loose->key_count)
		memcpy(a->keys.slots, loose->keys, loose->key_count * sizeof(*loose->keys));
	a->keys.count = loose->key_count;
	return place_block(a);
}

static int start(struct archive *a, const char *path)
{
	int err;

	a->store = store__open(path, &err);
	if (!a->store)
		return err;
	start_block(a, store__end(a->store));
	err = store__loose(a->store, read_loose, a);
	if (err)
		return err;
	if (!a->block.records)
		start_block(a, store__end(a->store));
	if (store__bytes(a->store) <= a->limits.max_bytes)
		return 0;
	/* the bound is smaller than it was: the disk gets the rest back */
	err = archive__age(a, 0);
	return err ? err : store__trim(a->store);
}

struct archive *archive__open(const char *path, const struct archive_limits *limits, int *ret_err)
{
	struct archive *a = calloc(1, sizeof(*a));

	*ret_err = -ENOMEM;
	if (!a)
		return NULL;
	a->limits = *limits;
	a->zstd = ZSTD_createCCtx();
	if (a->zstd)
		*ret_err = start(a, path);
	return *ret_err ? archive__close(a) : a;
}

struct archive *archive__close(struct archive *a)
{
	if (!a)
		return NULL;
	store__close(a->store);
	ZSTD_freeCCtx(a->zstd);
	free(a->packed.data);
	free(a->raw.data);
	free(a->places.data);
	free(a->sorted.data);
	free(a->folded.data);
	free(a);
	return NULL;
}

struct store *archive__store(struct archive *a)
{
	return a->store;
}
