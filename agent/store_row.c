/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store_row.h"

#include <errno.h>
#include <string.h>
#include "agent/db.h"

void store_row__block(sqlite3_stmt *statement, struct store_block *ret)
{
	*ret = (struct store_block){
		.seq = sqlite3_column_int64(statement, 0),
		.records = (uint32_t)sqlite3_column_int64(statement, 1),
		.missing = (uint32_t)sqlite3_column_int64(statement, 2),
		.first_ns = (uint64_t)sqlite3_column_int64(statement, 3),
		.last_ns = (uint64_t)sqlite3_column_int64(statement, 4),
	};
	if (sqlite3_column_bytes(statement, 5) == sizeof(ret->levels))
		memcpy(ret->levels, sqlite3_column_blob(statement, 5), sizeof(ret->levels));
}

static struct str column_str(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return (struct str){ text, text ? (size_t)sqlite3_column_bytes(statement, column) : 0 };
}

static void read_identity(sqlite3_stmt *statement, struct store_identity *ret)
{
	*ret = (struct store_identity){
		.id = (uint32_t)sqlite3_column_int64(statement, 0),
		.replica = {
			.replica = column_str(statement, 1),
			.model_id = column_str(statement, 2),
			.model_version_id = column_str(statement, 3),
			.environment = column_str(statement, 4),
			.chainlet_id = column_str(statement, 5),
			.training_job_id = column_str(statement, 6),
		},
		.first_ns = (uint64_t)sqlite3_column_int64(statement, 7),
		.last_ns = (uint64_t)sqlite3_column_int64(statement, 8),
		.records = (uint64_t)sqlite3_column_int64(statement, 9),
	};
}

int store_row__identities(sqlite3_stmt *statement,
			  void (*fn)(void *ctx, const struct store_identity *identity), void *ctx)
{
	struct store_identity identity;
	int err;

	while (!(err = db__step(statement))) {
		read_identity(statement, &identity);
		fn(ctx, &identity);
	}
	sqlite3_reset(statement);
	return err == -ENOENT ? 0 : err;
}
