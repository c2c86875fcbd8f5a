/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store.h"

#include <errno.h>
#include <stdlib.h>
#include "agent/db.h"

#define IDENTITY_SLACK_NS 60000000000LL
#define BUSY_MS 1000 /* for a reader that recovers the file after a crash */

enum statement {
	DELETE_CHUNKS,
	PUT_CHUNK,
	PUT_MAP,
	PUT_KEYS,
	DELETE_MAPS,
	DELETE_KEYS,
	PUT_SEGMENT,
	PUT_FILTER,
	PUT_REQUEST,
	PUT_IDENTITY,
	IDENTITIES,
	LOOSE,
	END,
	BYTES,
	OLDEST_SEGMENT,
	OLDEST_CHUNK,
	DELETE_SEGMENT,
	DELETE_FILTER,
	DELETE_REQUEST,
	DELETE_IDENTITIES,
	STATEMENTS,
};

static const char *const sql[STATEMENTS] = {
	[DELETE_CHUNKS] = "DELETE FROM chunk WHERE seq >= ?1 AND seq < ?2",
	[PUT_CHUNK] =
		"INSERT INTO chunk (seq, records, missing, first_ns, last_ns, levels, raw_len,"
		" data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[PUT_MAP] = "INSERT INTO loose (seq, map) VALUES (?1, ?2)",
	[PUT_KEYS] = "INSERT INTO loose_request (seq, end_seq, keys) VALUES (?1, ?2, ?3)",
	[DELETE_MAPS] = "DELETE FROM loose WHERE seq < ?1",
	[DELETE_KEYS] = "DELETE FROM loose_request WHERE seq < ?1",
	[PUT_SEGMENT] = "INSERT INTO segment (first_seq, end_seq, first_ns, last_ns, keys,"
			" blocks) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[PUT_FILTER] = "INSERT INTO filter (row, words) VALUES (?1, ?2)",
	[PUT_REQUEST] = "INSERT INTO request (row, end_seq, entries) VALUES (?1, ?2, ?3)",
	[PUT_IDENTITY] =
		"INSERT INTO identity VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
		" ON CONFLICT (id) DO UPDATE SET first_ns = min(first_ns, excluded.first_ns),"
		" last_ns = max(last_ns, excluded.last_ns), records = records + excluded.records",
	[IDENTITIES] = STORE_ROW_IDENTITIES,
	[LOOSE] =
		"SELECT " STORE_ROW_BLOCK
		", map, keys, CASE WHEN raw_len THEN NULL ELSE data END FROM chunk"
		" LEFT JOIN loose USING (seq) LEFT JOIN loose_request USING (seq)"
		" WHERE chunk.seq >= (SELECT coalesce(max(end_seq), 0) FROM segment) ORDER BY seq",
	[END] = "SELECT seq + records FROM chunk ORDER BY seq DESC LIMIT 1",
	[BYTES] = "SELECT coalesce(sum(length(data)), 0), count(*),"
		  " (SELECT count(*) FROM segment), (SELECT coalesce(sum(keys), 0) FROM segment)"
		  " FROM chunk",
	[OLDEST_SEGMENT] = "SELECT 1, first_seq, end_seq, last_ns FROM segment"
			   " ORDER BY first_seq LIMIT 1",
	[OLDEST_CHUNK] = "SELECT 0, seq, seq + 1, last_ns FROM chunk ORDER BY seq LIMIT 1",
	[DELETE_SEGMENT] = "DELETE FROM segment WHERE first_seq = ?1",
	[DELETE_FILTER] = "DELETE FROM filter WHERE row >= ?1 AND row < ?2",
	[DELETE_REQUEST] = "DELETE FROM request WHERE row = ?1",
	[DELETE_IDENTITIES] = "DELETE FROM identity WHERE last_ns < ?1",
};

/* auto_vacuum is incremental: a smaller bound gives the disk back. */
static const char setup[] = DB_PAGES
	"PRAGMA auto_vacuum = INCREMENTAL;" DB_WRITER
	"CREATE TABLE IF NOT EXISTS chunk (seq INTEGER PRIMARY KEY, records INTEGER NOT NULL,"
	" missing INTEGER NOT NULL, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL,"
	" levels BLOB NOT NULL, raw_len INTEGER NOT NULL, data BLOB NOT NULL);"
	"CREATE TABLE IF NOT EXISTS segment (first_seq INTEGER PRIMARY KEY, end_seq INTEGER NOT "
	"NULL, first_ns INTEGER NOT NULL,"
	" last_ns INTEGER NOT NULL, keys INTEGER NOT NULL, blocks BLOB NOT NULL);"
	"CREATE INDEX IF NOT EXISTS segment_end ON segment (end_seq);"
	"CREATE TABLE IF NOT EXISTS filter (row INTEGER PRIMARY KEY, words BLOB NOT NULL);"
	"CREATE TABLE IF NOT EXISTS request (row INTEGER PRIMARY KEY, end_seq INTEGER NOT NULL,"
	" entries BLOB NOT NULL);"
	"CREATE TABLE IF NOT EXISTS loose (seq INTEGER PRIMARY KEY, map BLOB NOT NULL);"
	/* apart from the maps: a question for a request reads the keys of all loose blocks */
	"CREATE TABLE IF NOT EXISTS loose_request (seq INTEGER PRIMARY KEY,"
	" end_seq INTEGER NOT NULL, keys BLOB NOT NULL);"
	"CREATE TABLE IF NOT EXISTS identity (id INTEGER PRIMARY KEY, replica TEXT NOT NULL,"
	" model_id TEXT NOT NULL, model_version_id TEXT NOT NULL, environment TEXT NOT NULL,"
	" chainlet_id TEXT NOT NULL, training_job_id TEXT NOT NULL, first_ns INTEGER NOT NULL,"
	" last_ns INTEGER NOT NULL, records INTEGER NOT NULL);"
	"PRAGMA user_version = 3;";

_Static_assert(STORE_FORMAT == 3, "also in the text above");

struct store {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	uint64_t bytes;
	uint64_t bytes_before; /* the transaction */
	int64_t end;
};

/* What a row of so many bytes takes of the file: whole pages, once it is larger than one. */
static uint64_t stored_bytes(uint64_t len)
{
	return len < DB_PAGE_BYTES / 2 ? len + 64
				       : (len + DB_PAGE_BYTES) / DB_PAGE_BYTES * DB_PAGE_BYTES;
}

/* Of segments: their filters, and rows that fill pages by two thirds, as those that are put between
 * others do. */
static uint64_t segment_bytes(uint64_t segments, uint64_t keys)
{
	return segments * (FILTER_ROWS * DB_PAGE_BYTES + KEYS_BUCKETS * 16) +
	       keys * sizeof(uint32_t) * 3 / 2;
}

static int read_totals(struct store *store)
{
	sqlite3_stmt *bytes = store->statements[BYTES], *end = store->statements[END];
	int err = db__step(bytes);

	if (!err)
		store->bytes = (uint64_t)sqlite3_column_int64(bytes, 0) +
			       (uint64_t)sqlite3_column_int64(bytes, 1) * DB_PAGE_BYTES / 2 +
			       segment_bytes((uint64_t)sqlite3_column_int64(bytes, 2),
					     (uint64_t)sqlite3_column_int64(bytes, 3));
	sqlite3_reset(bytes);
	if (err)
		return err;
	err = db__step(end);
	store->end = err ? 1 : sqlite3_column_int64(end, 0);
	sqlite3_reset(end);
	return err == -ENOENT ? 0 : err;
}

static int prepare(struct store *store)
{
	int err, format;

	sqlite3_busy_timeout(store->db, BUSY_MS);
	/* a file of another format is not ours to write to */
	format = db__format(store->db);
	if (format && format != STORE_FORMAT)
		return format < 0 ? format : -EBADMSG;
	err = db__execute(store->db, setup);
	if (!err)
		err = db__prepare(store->db, sql, STATEMENTS, store->statements);
	return err ? err : read_totals(store);
}

struct store *store__open(const char *path, int *ret_err)
{
	struct store *store = calloc(1, sizeof(*store));

	*ret_err = -ENOMEM;
	if (!store)
		return NULL;
	*ret_err = db__open(path, true, &store->db);
	if (!*ret_err)
		*ret_err = prepare(store);
	return *ret_err ? store__close(store) : store;
}

struct store *store__close(struct store *store)
{
	if (!store)
		return NULL;
	db__close(store->db, store->statements, STATEMENTS);
	free(store);
	return NULL;
}

int store__begin(struct store *store)
{
	store->bytes_before = store->bytes;
	return db__execute(store->db, "BEGIN IMMEDIATE");
}

int store__commit(struct store *store)
{
	int err = db__execute(store->db, "COMMIT");

	if (err)
		store__rollback(store);
	return err;
}

void store__rollback(struct store *store)
{
	db__execute(store->db, "ROLLBACK");
	store->bytes = store->bytes_before;
}

static int delete_chunks(struct store *store, int64_t first, int64_t end)
{
	sqlite3_stmt *statement = store->statements[DELETE_CHUNKS];

	sqlite3_bind_int64(statement, 1, first);
	sqlite3_bind_int64(statement, 2, end);
	return db__run(statement);
}

int store__put_chunk(struct store *store, const struct store_block *block, size_t raw_len,
		     const void *data, size_t len)
{
	sqlite3_stmt *statement = store->statements[PUT_CHUNK];
	int64_t end = block->seq + block->records;
	int err = block->seq < store->end ? delete_chunks(store, block->seq, end) : 0;

	if (err)
		return err;
	sqlite3_bind_int64(statement, 1, block->seq);
	sqlite3_bind_int64(statement, 2, block->records);
	sqlite3_bind_int64(statement, 3, block->missing);
	sqlite3_bind_int64(statement, 4, (int64_t)block->first_ns);
	sqlite3_bind_int64(statement, 5, (int64_t)block->last_ns);
	sqlite3_bind_blob(statement, 6, block->levels, sizeof(block->levels), SQLITE_STATIC);
	sqlite3_bind_int64(statement, 7, (int64_t)raw_len);
	sqlite3_bind_blob64(statement, 8, data, len, SQLITE_STATIC);
	err = db__run(statement);
	if (err)
		return err;
	/* tails that it replaces are a few KiB, gone from the count at the next start */
	store->bytes += stored_bytes(len);
	store->end = end > store->end ? end : store->end;
	return 0;
}

int store__put_loose(struct store *store, const struct store_block *block,
		     const struct store_loose *loose)
{
	sqlite3_stmt *map = store->statements[PUT_MAP], *keys = store->statements[PUT_KEYS];
	int err;

	sqlite3_bind_int64(map, 1, block->seq);
	sqlite3_bind_blob(map, 2, loose->map->bits, sizeof(loose->map->bits), SQLITE_STATIC);
	err = db__run(map);
	if (err)
		return err;
	sqlite3_bind_int64(keys, 1, block->seq);
	sqlite3_bind_int64(keys, 2, block->seq + block->records);
	sqlite3_bind_blob(keys, 3, loose->keys, (int)(loose->key_count * sizeof(*loose->keys)),
			  SQLITE_STATIC);
	return db__run(keys);
}

static int delete_loose(struct store *store, int64_t end)
{
	static const enum statement both[] = { DELETE_MAPS, DELETE_KEYS };
	int err = 0;

	for (int i = 0; i < 2 && !err; i++) {
		sqlite3_bind_int64(store->statements[both[i]], 1, end);
		err = db__run(store->statements[both[i]]);
	}
	return err;
}

static int put_requests(struct store *store, int64_t first_seq, int64_t end_seq,
			const struct keys_sorted *keys)
{
	sqlite3_stmt *statement = store->statements[PUT_REQUEST];
	uint32_t from = 0;
	int err = 0;

	for (unsigned bucket = 0; bucket < KEYS_BUCKETS && !err; bucket++) {
		uint32_t end = keys->ends[bucket];

		sqlite3_bind_int64(statement, 1, keys__row(first_seq, bucket));
		sqlite3_bind_int64(statement, 2, end_seq);
		sqlite3_bind_blob(statement, 3, keys->entries + from,
				  (int)((end - from) * sizeof(keys->entries[0])), SQLITE_STATIC);
		err = db__run(statement);
		from = end;
	}
	return err;
}

static int put_filter(struct store *store, int64_t first_seq, const struct filter_matrix *matrix)
{
	sqlite3_stmt *statement = store->statements[PUT_FILTER];
	int err = 0;

	for (int64_t row = 0; row < FILTER_ROWS && !err; row++) {
		sqlite3_bind_int64(statement, 1, first_seq * FILTER_ROWS + row);
		sqlite3_bind_blob(statement, 2, matrix->words + row * FILTER_ROW_WORDS,
				  FILTER_ROW_WORDS * sizeof(matrix->words[0]), SQLITE_STATIC);
		err = db__run(statement);
	}
	return err;
}

int store__put_segment(struct store *store, const struct store_block blocks[FILTER_BLOCKS],
		       const struct filter_matrix *matrix, const struct keys_sorted *keys)
{
	sqlite3_stmt *statement = store->statements[PUT_SEGMENT];
	const struct store_block *last = &blocks[FILTER_BLOCKS - 1];
	int64_t end_seq = last->seq + last->records;
	uint64_t first_ns = blocks[0].first_ns, last_ns = 0;
	int err;

	for (int i = 0; i < FILTER_BLOCKS; i++) {
		first_ns = blocks[i].first_ns < first_ns ? blocks[i].first_ns : first_ns;
		last_ns = blocks[i].last_ns > last_ns ? blocks[i].last_ns : last_ns;
	}
	sqlite3_bind_int64(statement, 1, blocks[0].seq);
	sqlite3_bind_int64(statement, 2, end_seq);
	sqlite3_bind_int64(statement, 3, (int64_t)first_ns);
	sqlite3_bind_int64(statement, 4, (int64_t)last_ns);
	sqlite3_bind_int64(statement, 5, keys->ends[KEYS_BUCKETS - 1]);
	sqlite3_bind_blob(statement, 6, blocks, FILTER_BLOCKS * sizeof(*blocks), SQLITE_STATIC);
	err = db__run(statement);
	if (!err)
		err = put_filter(store, blocks[0].seq, matrix);
	if (!err)
		err = put_requests(store, blocks[0].seq, end_seq, keys);
	if (!err)
		err = delete_loose(store, end_seq);
	if (!err)
		store->bytes += segment_bytes(1, keys->ends[KEYS_BUCKETS - 1]);
	return err;
}

int store__put_identity(struct store *store, const struct store_identity *identity)
{
	const struct replica *r = &identity->replica;
	const struct str texts[] = { r->replica,     r->model_id,    r->model_version_id,
				     r->environment, r->chainlet_id, r->training_job_id };
	sqlite3_stmt *statement = store->statements[PUT_IDENTITY];

	sqlite3_bind_int64(statement, 1, identity->id);
	for (int i = 0; i < 6; i++)
		sqlite3_bind_text(statement, 2 + i, texts[i].len ? texts[i].data : "",
				  (int)texts[i].len, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 8, (int64_t)identity->first_ns);
	sqlite3_bind_int64(statement, 9, (int64_t)identity->last_ns);
	sqlite3_bind_int64(statement, 10, (int64_t)identity->records);
	return db__run(statement);
}

int store__identities(struct store *store,
		      void (*fn)(void *ctx, const struct store_identity *identity), void *ctx)
{
	return store_row__identities(store->statements[IDENTITIES], fn, ctx);
}

static void read_loose(sqlite3_stmt *statement, struct store_loose *ret)
{
	bool whole = sqlite3_column_bytes(statement, 6) == sizeof(struct filter_map);

	*ret = (struct store_loose){
		.map = whole ? sqlite3_column_blob(statement, 6) : NULL,
		.keys = sqlite3_column_blob(statement, 7),
		.key_count = (uint32_t)sqlite3_column_bytes(statement, 7) / sizeof(*ret->keys),
	};
}

int store__loose(struct store *store,
		 int (*fn)(void *ctx, const struct store_block *block,
			   const struct store_loose *loose, const void *data, size_t len),
		 void *ctx)
{
	sqlite3_stmt *statement = store->statements[LOOSE];
	struct store_loose loose;
	struct store_block block;
	int err;

	while (!(err = db__step(statement))) {
		store_row__block(statement, &block);
		read_loose(statement, &loose);
		err = fn(ctx, &block, &loose, sqlite3_column_blob(statement, 8),
			 (size_t)sqlite3_column_bytes(statement, 8));
		if (err)
			break;
	}
	sqlite3_reset(statement);
	return err == -ENOENT ? 0 : err;
}

int64_t store__end(struct store *store)
{
	return store->end;
}

uint64_t store__bytes(const struct store *store)
{
	return store->bytes;
}

struct range {
	bool is_segment; /* or a chunk alone */
	int64_t first, end;
	uint64_t last_ns;
};

static int oldest(struct store *store, struct range *ret)
{
	enum statement kinds[] = { OLDEST_SEGMENT, OLDEST_CHUNK };
	int err = -ENOENT;

	for (int k = 0; k < 2 && err == -ENOENT; k++) {
		sqlite3_stmt *statement = store->statements[kinds[k]];

		err = db__step(statement);
		if (!err)
			*ret = (struct range){
				.is_segment = sqlite3_column_int64(statement, 0),
				.first = sqlite3_column_int64(statement, 1),
				.end = sqlite3_column_int64(statement, 2),
				.last_ns = (uint64_t)sqlite3_column_int64(statement, 3),
			};
		sqlite3_reset(statement);
	}
	return err;
}

static int delete_segment(struct store *store, int64_t first_seq)
{
	sqlite3_stmt *segment = store->statements[DELETE_SEGMENT];
	sqlite3_stmt *filter = store->statements[DELETE_FILTER];
	sqlite3_stmt *request = store->statements[DELETE_REQUEST];
	int err;

	sqlite3_bind_int64(segment, 1, first_seq);
	err = db__run(segment);
	if (err)
		return err;
	sqlite3_bind_int64(filter, 1, first_seq * FILTER_ROWS);
	sqlite3_bind_int64(filter, 2, (first_seq + 1) * FILTER_ROWS);
	err = db__run(filter);
	for (unsigned bucket = 0; bucket < KEYS_BUCKETS && !err; bucket++) {
		sqlite3_bind_int64(request, 1, keys__row(first_seq, bucket));
		err = db__run(request);
	}
	return err;
}

/* Records arrive a little out of order, so an identity's last one may lie in the next chunk. */
static int delete_identities(struct store *store, uint64_t last_ns)
{
	sqlite3_stmt *statement = store->statements[DELETE_IDENTITIES];

	sqlite3_bind_int64(statement, 1, (int64_t)last_ns - IDENTITY_SLACK_NS);
	return db__run(statement);
}

int store__drop_oldest(struct store *store, uint64_t before_ns)
{
	int64_t end = store->end;
	struct range range;
	int err = oldest(store, &range);

	if (!err && range.last_ns >= before_ns)
		err = -ENOENT;
	if (!err)
		err = delete_chunks(store, range.first, range.end);
	if (!err && range.is_segment)
		err = delete_segment(store, range.first);
	if (!err)
		err = delete_loose(store, range.end);
	if (!err)
		err = delete_identities(store, range.last_ns);
	if (!err)
		err = read_totals(store);
	store->end = end; /* also where nothing is left: numbers are not given twice */
	return err;
}

int store__trim(struct store *store)
{
	return db__execute(store->db, "PRAGMA incremental_vacuum");
}
