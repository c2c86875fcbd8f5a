/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/db.h"

#include <errno.h>
#include <sqlite3.h>

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
