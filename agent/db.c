/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(DB_PAGE_BYTES == 8192, "also in DB_PAGES");

int db__errno(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	/* A file of another make: its table or columns are not ours. */
	case SQLITE_ERROR:
		return -EBADMSG;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
		return -EBUSY;
	default:
		return -EIO;
	}
}

int db__open(const char *path, bool write, sqlite3 **ret)
{
	int flags = write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;

	return db__errno(
		sqlite3_open_v2(path ? path : ":memory:", ret, flags | SQLITE_OPEN_NOMUTEX, NULL));
}

void db__close(sqlite3 *db, sqlite3_stmt *statements[], int count)
{
	for (int i = 0; i < count; i++)
		sqlite3_finalize(statements[i]);
	sqlite3_close(db);
}

int db__prepare(sqlite3 *db, const char *const sql[], int count, sqlite3_stmt *ret[])
{
	int code = SQLITE_OK;

	for (int i = 0; i < count && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &ret[i], NULL);
	return db__errno(code);
}

int db__execute(sqlite3 *db, const char *sql)
{
	return db__errno(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int db__format(sqlite3 *db)
{
	sqlite3_stmt *statement = NULL;
	int err, format = -EBADMSG;

	err = db__errno(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL));
	if (!err)
		err = db__step(statement);
	if (!err)
		format = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return err && err != -ENOENT ? err : format;
}

int db__step(sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW)
		return 0;
	return code == SQLITE_DONE ? -ENOENT : db__errno(code);
}

int db__run(sqlite3_stmt *statement)
{
	int err = db__step(statement);

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return err == -ENOENT ? 0 : err;
}

int db__lock(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int fd, err;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	err = errno == EWOULDBLOCK ? -EBUSY : -errno;
	close(fd);
	return err;
}

void db__move(const char *path, const char *suffix)
{
	static const char *const parts[] = { "", "-wal", "-shm" };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char from[PATH_MAX + 8], to[PATH_MAX + 64];

		snprintf(from, sizeof(from), "%s%s", path, parts[i]);
		snprintf(to, sizeof(to), "%s%s%s", path, suffix ? suffix : "", parts[i]);
		if (suffix)
			rename(from, to);
		else
			unlink(from);
	}
}
