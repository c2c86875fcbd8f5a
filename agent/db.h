/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db: what SQLite's results mean here. Negative errno: -ENOSPC full, -EROFS read-only, -EBADMSG
 * corrupt or of another make, -EBUSY locked by another, -ENOMEM, -EIO anything else of the disk.
 */
#ifndef REQTAP_DB_H
#define REQTAP_DB_H

int db__errno(int code);

#endif
