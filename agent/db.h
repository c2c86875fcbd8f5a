/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db: what every user of SQLite here shares: opening, statements, what results mean.
 *
 * Functions return 0 or negative errno: -ENOSPC full, -EROFS read-only, -EBADMSG corrupt or of
 * another make, -EBUSY locked by another, -ENOMEM, -EIO anything else of the disk.
 */
#ifndef REQTAP_DB_H
#define REQTAP_DB_H

#include <sqlite3.h>
#include <stdbool.h>

#define DB_PAGE_BYTES 8192
/* Before all else: auto_vacuum makes the file, whose page size is fixed then. */
#define DB_PAGES "PRAGMA page_size = 8192;"

/*
 * For a file that is written all the time. A checkpoint each 16 MiB, not each 4: it is what waits
 * for the disk. Debian builds SQLite so that a delete overwrites with zeros, which doubles what is
 * written. A cache of 256 KiB, not of 2 MiB, which fills: what is written is not read again, and
 * two million records of history took the same CPU and the same writes with either.
 */
#define DB_WRITER                                                                                  \
	"PRAGMA secure_delete = OFF; PRAGMA journal_mode = WAL;"                                   \
	"PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 2048;"                           \
	"PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -256;"

int db__errno(int code);

/* To write (the file is made) or to read; NULL: in memory. *ret is to be closed even after an
 * error. */
int db__open(const char *path, bool write, sqlite3 **ret);

/* Closes, with the statements that were prepared; NULL is none. */
void db__close(sqlite3 *db, sqlite3_stmt *statements[], int count);

int db__prepare(sqlite3 *db, const char *const sql[], int count, sqlite3_stmt *ret[]);

int db__execute(sqlite3 *db, const char *sql);

/* The file's user_version: 0 in one that was not set up yet; or negative errno. */
int db__format(sqlite3 *db);

/* The next row, to be read before the statement is reset. -ENOENT: there is none. */
int db__step(sqlite3_stmt *statement);

/* To its end; rows that it gives do not matter. */
int db__run(sqlite3_stmt *statement);

/* One process has the files of a directory, which is made if it is not there: the descriptor of
 * DIR/NAME that holds the lock. -EBUSY: another has it. */
int db__lock(const char *dir, const char *name);

/* A closed file and its companions get `suffix`; NULL: they are deleted. */
void db__move(const char *path, const char *suffix);

#endif
