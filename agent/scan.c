/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/scan.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zstd.h>
#include "agent/db.h"
#include "agent/lookup.h"
#include "agent/scan_filter.h"

#define BUSY_MS 1000
#define HOLD_STEPS 256
#define RAW_MAX (1ULL << 30) /* of one chunk: more is no chunk of ours */

enum statement {
	SEGMENT_BEFORE,
	SEGMENT_AFTER,
	CHUNK_BEFORE,
	CHUNK_AFTER,
	DATA,
	END,
	IDENTITIES,
	VERSION,
	STATEMENTS,
};

#define SEGMENT "SELECT first_seq, end_seq, first_ns, last_ns, blocks FROM segment "
/* SQLite reads every column that is selected: a block's data would be read to look at its times */
#define CHUNK                                                                                      \
	"SELECT " STORE_ROW_BLOCK ", raw_len, CASE WHEN raw_len THEN NULL ELSE data END"           \
	" FROM chunk "

static const char *const sql[STATEMENTS] = {
	[SEGMENT_BEFORE] = SEGMENT "WHERE first_seq < ?1 ORDER BY first_seq DESC LIMIT 1",
	[SEGMENT_AFTER] = SEGMENT "WHERE end_seq > ?1 ORDER BY end_seq LIMIT 1",
	[CHUNK_BEFORE] = CHUNK "WHERE seq < ?1 ORDER BY seq DESC LIMIT 1",
	/* the one that begins before ?1 may reach beyond it */
	[CHUNK_AFTER] = CHUNK "WHERE seq >= coalesce((SELECT seq FROM chunk WHERE seq <= ?1"
			      " ORDER BY seq DESC LIMIT 1), 0) AND seq + records > ?1"
			      " ORDER BY seq LIMIT 1",
	[DATA] = "SELECT raw_len, data FROM chunk WHERE seq = ?1",
	[END] = "SELECT seq + records FROM chunk ORDER BY seq DESC LIMIT 1",
	[IDENTITIES] = STORE_ROW_IDENTITIES,
	[VERSION] = "PRAGMA data_version",
};

/* The segment that was looked at last. */
struct segment {
	int64_t first_seq, end_seq; /* end 0: none */
	uint64_t first_ns, last_ns;
	struct store_block blocks[FILTER_BLOCKS];
	uint32_t mask; /* of its blocks, those that may match */
};

struct scan {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	char path[PATH_MAX];
	dev_t device;
	ino_t inode;
	struct segment segment;
	unsigned steps; /* since the transaction began */
	const struct scan_plan *plan;
	struct scan_filter *filter;
	struct lookup *lookup;
	bool found; /* the lookup is of this transaction */
	uint8_t *data;
	size_t size;
	uint64_t bytes;
};

void scan__release(struct scan *scan)
{
	if (!sqlite3_get_autocommit(scan->db))
		db__execute(scan->db, "COMMIT");
	scan->steps = 0;
	scan->found = false;
}

/* Steps share a transaction: one each would lock, and look whether the file was written. */
static int hold(struct scan *scan)
{
	if (++scan->steps > HOLD_STEPS)
		scan__release(scan);
	if (!sqlite3_get_autocommit(scan->db))
		return 0;
	return db__execute(scan->db, "BEGIN");
}

static int prepare(struct scan *scan)
{
	int err;

	sqlite3_busy_timeout(scan->db, BUSY_MS);
	err = db__execute(scan->db, "PRAGMA cache_size = -4096");
	if (!err)
		err = db__prepare(scan->db, sql, STATEMENTS, scan->statements);
	if (!err)
		scan->filter = scan_filter__new(scan->db, &err);
	if (!err)
		scan->lookup = lookup__new(scan->db, &err);
	/* the writer makes the file and then its tables: in between there is no history yet */
	return err == -EBADMSG && !db__format(scan->db) ? -ENOENT : err;
}

struct scan *scan__open(const char *path, int *ret_err)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	struct stat st;

	*ret_err = -ENOMEM;
	if (!scan)
		return NULL;
	snprintf(scan->path, sizeof(scan->path), "%s", path);
	*ret_err = stat(path, &st) < 0 ? -errno : 0;
	if (*ret_err)
		return scan__close(scan);
	scan->device = st.st_dev;
	scan->inode = st.st_ino;
	*ret_err = db__open(path, false, &scan->db);
	if (!*ret_err)
		*ret_err = prepare(scan);
	return *ret_err ? scan__close(scan) : scan;
}

struct scan *scan__close(struct scan *scan)
{
	if (!scan)
		return NULL;
	scan_filter__free(scan->filter);
	lookup__free(scan->lookup);
	db__close(scan->db, scan->statements, STATEMENTS);
	free(scan->data);
	free(scan);
	return NULL;
}

/* Of a plan that names requests, `slots` are those that may have one; else the filter says. */
static int make_mask(struct scan *scan, uint32_t slots)
{
	const struct scan_plan *plan = scan->plan;
	struct segment *segment = &scan->segment;
	uint32_t mask = 0, notices = 0;
	int err = 0;

	for (int i = 0; i < FILTER_BLOCKS; i++) {
		const struct store_block *block = &segment->blocks[i];

		if (scan_plan__may_match(plan, block))
			mask |= 1U << i;
		if (mask & 1U << i && block->missing && plan->notices)
			notices |= 1U << i;
	}
	mask &= slots;
	if (!plan->key_count)
		err = scan_filter__segment(scan->filter, plan, segment->first_seq, &mask);
	segment->mask = mask | notices;
	return err;
}

/* Reads the segment that the statement finds; -ENOENT. */
static int find_segment(struct scan *scan, enum statement which, int64_t cursor, uint32_t slots)
{
	sqlite3_stmt *statement = scan->statements[which];
	struct segment *segment = &scan->segment;
	int err;

	sqlite3_bind_int64(statement, 1, cursor);
	err = db__step(statement);
	if (!err) {
		segment->first_seq = sqlite3_column_int64(statement, 0);
		segment->end_seq = sqlite3_column_int64(statement, 1);
		segment->first_ns = (uint64_t)sqlite3_column_int64(statement, 2);
		segment->last_ns = (uint64_t)sqlite3_column_int64(statement, 3);
		if (sqlite3_column_bytes(statement, 4) == sizeof(segment->blocks))
			memcpy(segment->blocks, sqlite3_column_blob(statement, 4),
			       sizeof(segment->blocks));
		else
			err = -EBADMSG;
	}
	sqlite3_reset(statement);
	if (err)
		segment->first_seq = segment->end_seq = 0;
	segment->mask = 0;
	if (err || !scan_plan__overlaps(scan->plan, segment->first_ns, segment->last_ns))
		return err;
	return make_mask(scan, slots);
}

/* A block that is in no segment has a map of its own; a tail has none. */
static bool loose_may_match(struct scan *scan, const struct scan_chunk *chunk)
{
	const struct scan_plan *plan = scan->plan;

	if (!scan_plan__may_match(plan, &chunk->block))
		return false;
	return chunk->tail || plan->key_count || (chunk->block.missing && plan->notices) ||
	       scan_filter__block(scan->filter, plan, chunk->block.seq);
}

/* Room for a chunk's data. */
static int reserve(struct scan *scan, uint64_t len)
{
	if (len > RAW_MAX)
		return -EBADMSG;
	if (len > scan->size) {
		free(scan->data);
		scan->data = malloc(len);
		scan->size = scan->data ? len : 0;
	}
	return len && !scan->data ? -ENOMEM : 0;
}

/* A chunk that is in no segment, from its row; a tail's data with it. */
static int find_chunk(struct scan *scan, enum statement which, int64_t cursor,
		      struct scan_chunk *ret)
{
	sqlite3_stmt *statement = scan->statements[which];
	int err;

	sqlite3_bind_int64(statement, 1, cursor);
	err = db__step(statement);
	if (!err) {
		*ret = (struct scan_chunk){ .tail = !sqlite3_column_int64(statement, 6) };
		store_row__block(statement, &ret->block);
		ret->len = (size_t)sqlite3_column_bytes(statement, 7);
		err = reserve(scan, ret->len);
		if (!err && ret->len)
			memcpy(scan->data, sqlite3_column_blob(statement, 7), ret->len);
		ret->data = ret->tail ? scan->data : NULL;
		scan->bytes += ret->len;
	}
	sqlite3_reset(statement);
	return err;
}

static bool in_segment(const struct scan *scan, int64_t seq)
{
	return seq >= scan->segment.first_seq && seq < scan->segment.end_seq;
}

void scan__begin(struct scan *scan, const struct scan_plan *plan)
{
	scan->plan = plan;
	scan->segment.first_seq = INT64_MAX; /* not looked for yet */
	scan->segment.end_seq = 0;
	scan->found = false;
}

/* A plan's request ids are looked for once in a transaction. */
static int look_up(struct scan *scan, int64_t from_seq)
{
	int err = 0;

	if (!scan->found)
		err = lookup__find(scan->lookup, scan->plan->keys, scan->plan->key_count, from_seq);
	scan->found = !err;
	return err;
}

static int enter_hit(struct scan *scan, const struct lookup_hit *hit)
{
	if (!hit->slots || in_segment(scan, hit->seq))
		return 0;
	return find_segment(scan, SEGMENT_BEFORE, hit->seq + 1, hit->slots);
}

/* The segment of the record before *cursor. Where requests are named, the cursor goes back to what
 * may have one; -ENOENT: nothing has. */
static int seek_before(struct scan *scan, int64_t *cursor)
{
	const struct lookup_hit *hit;
	int err;

	if (!scan->plan->key_count) {
		if (*cursor - 1 >= scan->segment.first_seq)
			return 0;
		err = find_segment(scan, SEGMENT_BEFORE, *cursor, UINT32_MAX);
		return err == -ENOENT ? 0 : err;
	}
	err = look_up(scan, 0);
	if (err || *cursor > lookup__end(scan->lookup))
		return err;
	hit = lookup__before(scan->lookup, *cursor);
	if (!hit)
		return -ENOENT;
	if (*cursor > hit->end_seq)
		*cursor = hit->end_seq;
	return enter_hit(scan, hit);
}

/* Likewise, of the record at *cursor. */
static int seek_after(struct scan *scan, int64_t *cursor)
{
	const struct lookup_hit *hit;
	int err;

	if (!scan->plan->key_count) {
		if (in_segment(scan, *cursor))
			return 0;
		err = find_segment(scan, SEGMENT_AFTER, *cursor, UINT32_MAX);
		if (!err && *cursor < scan->segment.first_seq)
			*cursor = scan->segment.first_seq;
		return err == -ENOENT ? 0 : err;
	}
	err = look_up(scan, *cursor);
	if (err || *cursor >= lookup__end(scan->lookup))
		return err;
	hit = lookup__after(scan->lookup, *cursor);
	if (!hit || *cursor < hit->seq)
		*cursor = hit ? hit->seq : lookup__end(scan->lookup);
	return hit ? enter_hit(scan, hit) : 0;
}

/* The last block of the segment before *cursor that may match; or the cursor goes before it. */
static bool pick_before(struct segment *segment, int64_t *cursor, struct scan_chunk *ret)
{
	for (int i = FILTER_BLOCKS - 1; i >= 0; i--) {
		if (segment->blocks[i].seq >= *cursor)
			continue;
		*cursor = segment->blocks[i].seq;
		if (segment->mask & 1U << i) {
			*ret = (struct scan_chunk){ .block = segment->blocks[i] };
			return true;
		}
	}
	return false;
}

int scan__before(struct scan *scan, int64_t *cursor, struct scan_chunk *ret)
{
	int err;

	while (!(err = hold(scan))) {
		err = seek_before(scan, cursor);
		if (err)
			return err;
		if (in_segment(scan, *cursor - 1)) {
			if (scan->segment.last_ns + SCAN_SLACK_NS < scan->plan->since_ns)
				return -ENOENT;
			if (pick_before(&scan->segment, cursor, ret))
				return 0;
			continue;
		}
		err = find_chunk(scan, CHUNK_BEFORE, *cursor, ret);
		if (err)
			return err;
		*cursor = ret->block.seq;
		if (ret->block.last_ns + SCAN_SLACK_NS < scan->plan->since_ns)
			return -ENOENT;
		if (loose_may_match(scan, ret))
			return 0;
	}
	return err;
}

static bool pick_after(struct segment *segment, int64_t *cursor, struct scan_chunk *ret)
{
	for (int i = 0; i < FILTER_BLOCKS; i++) {
		const struct store_block *block = &segment->blocks[i];

		if (block->seq + block->records <= *cursor)
			continue;
		*cursor = block->seq + block->records;
		if (segment->mask & 1U << i) {
			*ret = (struct scan_chunk){ .block = *block };
			return true;
		}
	}
	return false;
}

int scan__after(struct scan *scan, int64_t *cursor, struct scan_chunk *ret)
{
	int err;

	while (!(err = hold(scan))) {
		err = seek_after(scan, cursor);
		if (err)
			return err;
		if (in_segment(scan, *cursor)) {
			if (scan_plan__is_beyond(scan->plan, scan->segment.first_ns))
				return -ENOENT;
			if (pick_after(&scan->segment, cursor, ret))
				return 0;
			continue;
		}
		err = find_chunk(scan, CHUNK_AFTER, *cursor, ret);
		if (!err && scan_plan__is_beyond(scan->plan, ret->block.first_ns))
			err = -ENOENT;
		if (err)
			return err;
		*cursor = ret->block.seq + ret->block.records;
		if (loose_may_match(scan, ret))
			return 0;
	}
	return err;
}

static int unpack(struct scan *scan, sqlite3_stmt *statement, struct scan_chunk *chunk)
{
	uint64_t raw_len = (uint64_t)sqlite3_column_int64(statement, 0);
	size_t size;
	int err = reserve(scan, raw_len);

	if (err)
		return err;
	size = ZSTD_decompress(scan->data, raw_len, sqlite3_column_blob(statement, 1),
			       (size_t)sqlite3_column_bytes(statement, 1));
	if (ZSTD_isError(size) || size != raw_len)
		return -EBADMSG;
	chunk->data = scan->data;
	chunk->len = raw_len;
	scan->bytes += raw_len;
	return 0;
}

int scan__load(struct scan *scan, struct scan_chunk *chunk)
{
	sqlite3_stmt *statement = scan->statements[DATA];
	int err;

	if (chunk->data)
		return 0;
	sqlite3_bind_int64(statement, 1, chunk->block.seq);
	err = hold(scan);
	if (!err)
		err = db__step(statement);
	if (!err)
		err = unpack(scan, statement, chunk);
	sqlite3_reset(statement);
	return err;
}

static int64_t one_number(struct scan *scan, enum statement which, int64_t none)
{
	sqlite3_stmt *statement = scan->statements[which];
	int64_t number = db__step(statement) ? none : sqlite3_column_int64(statement, 0);

	sqlite3_reset(statement);
	return number;
}

int64_t scan__end(struct scan *scan)
{
	return one_number(scan, END, 1);
}

uint32_t scan__version(struct scan *scan)
{
	return (uint32_t)one_number(scan, VERSION, 0);
}

bool scan__is_stale(const struct scan *scan)
{
	struct stat st;

	return stat(scan->path, &st) == 0 &&
	       (st.st_ino != scan->inode || st.st_dev != scan->device);
}

int scan__identities(struct scan *scan,
		     void (*fn)(void *ctx, const struct store_identity *identity), void *ctx)
{
	return store_row__identities(scan->statements[IDENTITIES], fn, ctx);
}

uint64_t scan__bytes(const struct scan *scan)
{
	return scan->bytes;
}
