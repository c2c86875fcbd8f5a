/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/db.h"
#include "agent/spool.h"

enum statement {
	PUT,
	DELETE,
	FIRST,
	OLDEST,
	NOTICE_BEFORE,
	NOTICE_ADD,
	NOTICE_MAKE,
	ONE,
	NEXT_ID,
	LAST_ID,
	TOTALS,
	STATEMENTS,
};

static const char *const sql[STATEMENTS] = {
	[PUT] = "INSERT INTO payload (id, lane, first_ns, last_ns, records, dropped, raw_len,"
		" compression, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[DELETE] = "DELETE FROM payload WHERE id = ?1",
	[FIRST] = "SELECT id, lane, first_ns, last_ns, records, dropped, raw_len, compression, data"
		  " FROM payload WHERE lane = ?1 AND id > ?2 ORDER BY id LIMIT 1",
	[OLDEST] = "SELECT id, lane, first_ns, last_ns, records, dropped, raw_len, compression,"
		   " length(data) FROM payload WHERE id > ?1 AND dropped = 0 ORDER BY id LIMIT 1",
	[NOTICE_BEFORE] = "SELECT id, dropped FROM payload WHERE lane = ?1 AND id < ?2"
			  " ORDER BY id DESC LIMIT 1",
	[NOTICE_ADD] = "UPDATE payload SET dropped = dropped + ?2, last_ns = ?3 WHERE id = ?1",
	[NOTICE_MAKE] = "UPDATE payload SET dropped = ?2, last_ns = ?3, records = 0, raw_len = 0,"
			" data = NULL WHERE id = ?1",
	[ONE] = "SELECT records, coalesce(length(data), 0) FROM payload WHERE id = ?1",
	[NEXT_ID] = "SELECT id FROM payload WHERE id > ?1 ORDER BY id LIMIT 1",
	[LAST_ID] = "SELECT coalesce(max(id), 0) FROM payload",
	[TOTALS] = "SELECT count(*), coalesce(sum(records), 0), coalesce(sum(length(data)), 0)"
		   " FROM payload",
};

static const char setup[] = DB_PAGES DB_WRITER
	"CREATE TABLE IF NOT EXISTS payload (id INTEGER PRIMARY KEY, lane INTEGER NOT NULL,"
	" first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, records INTEGER NOT NULL,"
	" dropped INTEGER NOT NULL, raw_len INTEGER NOT NULL, compression INTEGER NOT NULL,"
	" data BLOB);"
	"CREATE INDEX IF NOT EXISTS payload_lane ON payload (lane, id);";

struct spool {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	struct spool_totals totals;
};

static uint64_t column(sqlite3_stmt *statement, int index)
{
	return (uint64_t)sqlite3_column_int64(statement, index);
}

static int read_totals(struct spool *spool)
{
	sqlite3_stmt *statement = spool->statements[TOTALS];
	int err = db__step(statement);

	if (!err) {
		spool->totals.rows = column(statement, 0);
		spool->totals.records = column(statement, 1);
		spool->totals.bytes = column(statement, 2) + spool->totals.rows * SPOOL_ROW_BYTES;
	}
	sqlite3_reset(statement);
	return err;
}

static int prepare(struct spool *spool)
{
	int err = db__execute(spool->db, setup);

	if (!err)
		err = db__prepare(spool->db, sql, STATEMENTS, spool->statements);
	return err ? err : read_totals(spool);
}

struct spool *spool__open(const char *path, int *ret_err)
{
	struct spool *spool = calloc(1, sizeof(*spool));

	*ret_err = -ENOMEM;
	if (!spool)
		return NULL;
	*ret_err = db__open(path, true, &spool->db);
	if (!*ret_err)
		*ret_err = prepare(spool);
	return *ret_err ? spool__close(spool) : spool;
}

struct spool *spool__close(struct spool *spool)
{
	if (!spool)
		return NULL;
	db__close(spool->db, spool->statements, STATEMENTS);
	free(spool);
	return NULL;
}

const struct spool_totals *spool__totals(const struct spool *spool)
{
	return &spool->totals;
}

int64_t spool__last_id(struct spool *spool)
{
	sqlite3_stmt *statement = spool->statements[LAST_ID];
	int64_t id = db__step(statement) ? 0 : sqlite3_column_int64(statement, 0);

	sqlite3_reset(statement);
	return id;
}

static void count(struct spool *spool, int64_t rows, int64_t records, int64_t bytes)
{
	spool->totals.rows += (uint64_t)rows;
	spool->totals.records += (uint64_t)records;
	spool->totals.bytes += (uint64_t)(bytes + rows * SPOOL_ROW_BYTES);
}

int spool__put(struct spool *spool, const struct spool_row *row)
{
	sqlite3_stmt *statement = spool->statements[PUT];
	int err;

	sqlite3_bind_int64(statement, 1, row->id);
	sqlite3_bind_int64(statement, 2, row->lane);
	sqlite3_bind_int64(statement, 3, (int64_t)row->first_ns);
	sqlite3_bind_int64(statement, 4, (int64_t)row->last_ns);
	sqlite3_bind_int64(statement, 5, (int64_t)row->records);
	sqlite3_bind_int64(statement, 6, (int64_t)row->dropped);
	sqlite3_bind_int64(statement, 7, (int64_t)row->raw_len);
	sqlite3_bind_int64(statement, 8, row->compression);
	sqlite3_bind_blob64(statement, 9, row->data, row->len, SQLITE_STATIC);
	err = db__run(statement);
	if (!err)
		count(spool, 1, (int64_t)row->records, (int64_t)row->len);
	return err;
}

static int sizes(struct spool *spool, int64_t id, int64_t *ret_records, int64_t *ret_bytes)
{
	sqlite3_stmt *statement = spool->statements[ONE];
	int err;

	sqlite3_bind_int64(statement, 1, id);
	err = db__step(statement);
	if (!err) {
		*ret_records = sqlite3_column_int64(statement, 0);
		*ret_bytes = sqlite3_column_int64(statement, 1);
	}
	sqlite3_reset(statement);
	return err;
}

int spool__delete(struct spool *spool, int64_t id)
{
	sqlite3_stmt *statement = spool->statements[DELETE];
	int64_t records, bytes;
	int err = sizes(spool, id, &records, &bytes);

	if (err)
		return err == -ENOENT ? 0 : err;
	sqlite3_bind_int64(statement, 1, id);
	err = db__run(statement);
	if (!err)
		count(spool, -1, -records, -bytes);
	return err;
}

static void read_row(sqlite3_stmt *statement, struct spool_row *ret)
{
	*ret = (struct spool_row){
		.id = sqlite3_column_int64(statement, 0),
		.lane = (unsigned)sqlite3_column_int(statement, 1),
		.first_ns = column(statement, 2),
		.last_ns = column(statement, 3),
		.records = column(statement, 4),
		.dropped = column(statement, 5),
		.raw_len = (size_t)column(statement, 6),
		.compression = (enum compression)sqlite3_column_int(statement, 7),
	};
}

int spool__first(struct spool *spool, unsigned lane, int64_t after, struct spool_row *ret,
		 uint8_t **ret_data)
{
	sqlite3_stmt *statement = spool->statements[FIRST];
	int err;

	sqlite3_bind_int64(statement, 1, lane);
	sqlite3_bind_int64(statement, 2, after);
	err = db__step(statement);
	if (!err) {
		const void *data = sqlite3_column_blob(statement, 8);
		size_t len = (size_t)sqlite3_column_bytes(statement, 8);

		read_row(statement, ret);
		*ret_data = data ? malloc(len) : NULL;
		if (*ret_data)
			memcpy(*ret_data, data, len);
		else if (data)
			err = -ENOMEM;
		ret->data = *ret_data;
		ret->len = len;
	}
	sqlite3_reset(statement);
	return err;
}

static bool contains(const int64_t ids[], size_t count, int64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

int spool__oldest(struct spool *spool, const int64_t skip[], size_t skip_count,
		  struct spool_row *ret)
{
	sqlite3_stmt *statement = spool->statements[OLDEST];
	int64_t after = 0;
	int err;

	do {
		sqlite3_bind_int64(statement, 1, after);
		err = db__step(statement);
		if (!err) {
			read_row(statement, ret);
			ret->len = (size_t)column(statement, 8);
			after = ret->id;
		}
		sqlite3_reset(statement);
	} while (!err && contains(skip, skip_count, ret->id));
	return err;
}

/* The notice of the row's lane just before it, 0: there is none. */
static int64_t notice_before(struct spool *spool, const struct spool_row *row, const int64_t skip[],
			     size_t skip_count)
{
	sqlite3_stmt *statement = spool->statements[NOTICE_BEFORE];
	int64_t id = 0;

	sqlite3_bind_int64(statement, 1, row->lane);
	sqlite3_bind_int64(statement, 2, row->id);
	if (db__step(statement) == 0 && column(statement, 1))
		id = sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return contains(skip, skip_count, id) ? 0 : id;
}

static int run_notice(struct spool *spool, enum statement which, int64_t id,
		      const struct spool_row *row)
{
	sqlite3_stmt *statement = spool->statements[which];

	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_int64(statement, 2, (int64_t)row->records);
	sqlite3_bind_int64(statement, 3, (int64_t)row->last_ns);
	return db__run(statement);
}

static int in_transaction(struct spool *spool, int err)
{
	if (!err)
		err = db__errno(sqlite3_exec(spool->db, "COMMIT", NULL, NULL, NULL));
	if (err)
		sqlite3_exec(spool->db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

int spool__drop(struct spool *spool, const struct spool_row *row, const int64_t skip[],
		size_t skip_count)
{
	int64_t notice = notice_before(spool, row, skip, skip_count);
	struct spool_totals before = spool->totals;
	int err;

	if (!notice) {
		err = run_notice(spool, NOTICE_MAKE, row->id, row);
		if (!err)
			count(spool, 0, -(int64_t)row->records, -(int64_t)row->len);
		return err;
	}
	err = db__errno(sqlite3_exec(spool->db, "BEGIN", NULL, NULL, NULL));
	if (err)
		return err;
	err = run_notice(spool, NOTICE_ADD, notice, row);
	if (!err)
		err = spool__delete(spool, row->id);
	err = in_transaction(spool, err);
	if (err)
		spool->totals = before;
	return err;
}

static int64_t id_between(struct spool *spool, int64_t id)
{
	sqlite3_stmt *statement = spool->statements[NEXT_ID];
	int64_t next = (id / SPOOL_STEP + 1) * SPOOL_STEP;

	sqlite3_bind_int64(statement, 1, id);
	if (db__step(statement) == 0 && sqlite3_column_int64(statement, 0) < next)
		next = sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return id + (next - id) / 2;
}

int spool__split(struct spool *spool, int64_t id, const struct spool_row halves[2])
{
	struct spool_row first = halves[0], second = halves[1];
	struct spool_totals before = spool->totals;
	int err;

	first.id = id;
	second.id = id_between(spool, id);
	if (second.id == id)
		return -EOVERFLOW;
	err = db__errno(sqlite3_exec(spool->db, "BEGIN", NULL, NULL, NULL));
	if (err)
		return err;
	err = spool__delete(spool, id);
	if (!err)
		err = spool__put(spool, &first);
	if (!err)
		err = spool__put(spool, &second);
	err = in_transaction(spool, err);
	if (err)
		spool->totals = before;
	return err;
}
