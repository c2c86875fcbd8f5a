/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lookup.h"

#include <errno.h>
#include <stdlib.h>
#include "agent/db.h"
#include "agent/keys.h"

enum statement {
	FIRST,
	LAST,
	BUCKET,
	LOOSE,
	STATEMENTS,
};

static const char *const sql[STATEMENTS] = {
	[FIRST] = "SELECT first_seq FROM segment ORDER BY first_seq LIMIT 1",
	[LAST] = "SELECT end_seq FROM segment ORDER BY end_seq DESC LIMIT 1",
	[BUCKET] = "SELECT row, end_seq, entries FROM request WHERE row >= ?1 AND row < ?2"
		   " ORDER BY row",
	[LOOSE] = "SELECT seq, end_seq, keys FROM loose_request ORDER BY seq",
};

struct lookup {
	sqlite3_stmt *statements[STATEMENTS];
	const uint32_t *keys;
	unsigned key_count;
	struct lookup_hit *hits; /* in order of seq */
	size_t count, size;
	int64_t end;
};

struct lookup *lookup__new(sqlite3 *db, int *ret_err)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	*ret_err = -ENOMEM;
	if (!lookup)
		return NULL;
	*ret_err = db__prepare(db, sql, STATEMENTS, lookup->statements);
	return *ret_err ? lookup__free(lookup) : lookup;
}

struct lookup *lookup__free(struct lookup *lookup)
{
	if (!lookup)
		return NULL;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(lookup->statements[i]);
	free(lookup->hits);
	free(lookup);
	return NULL;
}

static int add(struct lookup *lookup, const struct lookup_hit *hit)
{
	if (lookup->count == lookup->size) {
		size_t size = lookup->size ? 2 * lookup->size : 64;
		struct lookup_hit *grown = realloc(lookup->hits, size * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		lookup->hits = grown;
		lookup->size = size;
	}
	lookup->hits[lookup->count++] = *hit;
	return 0;
}

/* The row's segment, if it has the key. */
static int look_at_row(struct lookup *lookup, sqlite3_stmt *row, uint32_t key)
{
	const void *entries = sqlite3_column_blob(row, 2);
	struct lookup_hit hit = {
		.seq = keys__first_seq(sqlite3_column_int64(row, 0)),
		.end_seq = sqlite3_column_int64(row, 1),
		.slots = keys__slots(entries, (size_t)sqlite3_column_bytes(row, 2), key),
	};

	return hit.slots ? add(lookup, &hit) : 0;
}

/* Leaves *ret where there is none. */
static int read_number(sqlite3_stmt *statement, int64_t *ret)
{
	int err = db__step(statement);

	if (!err)
		*ret = sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return err == -ENOENT ? 0 : err;
}

/* A key's bucket in the segments of a part. */
static int look_in_bucket(struct lookup *lookup, int64_t part, uint32_t key)
{
	sqlite3_stmt *statement = lookup->statements[BUCKET];
	int64_t row = keys__row(part * KEYS_PART, keys__bucket(key));
	int err = 0;

	sqlite3_bind_int64(statement, 1, row);
	sqlite3_bind_int64(statement, 2, row + KEYS_PART);
	while (!err) {
		err = db__step(statement);
		if (!err)
			err = look_at_row(lookup, statement, key);
	}
	sqlite3_reset(statement);
	return err == -ENOENT ? 0 : err;
}

static int look_in_segments(struct lookup *lookup, int64_t from_seq)
{
	int64_t first = 0, part;
	int err = read_number(lookup->statements[FIRST], &first);

	if (!err)
		err = read_number(lookup->statements[LAST], &lookup->end);
	part = (first > from_seq ? first : from_seq) / KEYS_PART;
	/* a segment that reaches into a part may begin in the one before */
	if (part > first / KEYS_PART)
		part--;
	for (; part * KEYS_PART < lookup->end && !err; part++)
		for (unsigned i = 0; i < lookup->key_count && !err; i++)
			err = look_in_bucket(lookup, part, lookup->keys[i]);
	return err;
}

static bool has_any(const struct lookup *lookup, sqlite3_stmt *row)
{
	const char *at = sqlite3_column_blob(row, 2);
	int bytes = sqlite3_column_bytes(row, 2);
	uint32_t key;

	for (; bytes >= (int)sizeof(key); at += sizeof(key), bytes -= (int)sizeof(key)) {
		memcpy(&key, at, sizeof(key)); /* it need not be aligned */
		for (unsigned i = 0; i < lookup->key_count; i++)
			if (key == lookup->keys[i])
				return true;
	}
	return false;
}

static int look_in_loose(struct lookup *lookup)
{
	sqlite3_stmt *statement = lookup->statements[LOOSE];
	int err;

	while (!(err = db__step(statement))) {
		struct lookup_hit hit = { .seq = sqlite3_column_int64(statement, 0),
					  .end_seq = sqlite3_column_int64(statement, 1) };

		lookup->end = hit.end_seq;
		err = has_any(lookup, statement) ? add(lookup, &hit) : 0;
		if (err)
			break;
	}
	sqlite3_reset(statement);
	return err == -ENOENT ? 0 : err;
}

static int by_seq(const void *left, const void *right)
{
	int64_t a = ((const struct lookup_hit *)left)->seq;
	int64_t b = ((const struct lookup_hit *)right)->seq;

	return a < b ? -1 : a > b;
}

/* A segment that has several of the keys is one hit. */
static void merge(struct lookup *lookup)
{
	size_t to = 0;

	if (lookup->key_count < 2 || !lookup->count)
		return;
	qsort(lookup->hits, lookup->count, sizeof(*lookup->hits), by_seq);
	for (size_t from = 1; from < lookup->count; from++) {
		if (lookup->hits[from].seq == lookup->hits[to].seq)
			lookup->hits[to].slots |= lookup->hits[from].slots;
		else
			lookup->hits[++to] = lookup->hits[from];
	}
	lookup->count = to + 1;
}

int lookup__find(struct lookup *lookup, const uint32_t *keys, unsigned count, int64_t from_seq)
{
	int err;

	lookup->keys = keys;
	lookup->key_count = count;
	lookup->count = 0;
	lookup->end = 0;
	err = look_in_segments(lookup, from_seq);
	if (!err)
		err = look_in_loose(lookup);
	merge(lookup);
	return err;
}

const struct lookup_hit *lookup__before(const struct lookup *lookup, int64_t seq)
{
	for (size_t i = lookup->count; i-- > 0;)
		if (lookup->hits[i].seq < seq)
			return &lookup->hits[i];
	return NULL;
}

const struct lookup_hit *lookup__after(const struct lookup *lookup, int64_t seq)
{
	for (size_t i = 0; i < lookup->count; i++)
		if (lookup->hits[i].end_seq > seq)
			return &lookup->hits[i];
	return NULL;
}

int64_t lookup__end(const struct lookup *lookup)
{
	return lookup->end;
}
