/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret: text that must not be seen. Its pages are locked, left out of core dumps, guarded, and
 * wiped when freed.
 */
#ifndef REQTAP_SECRET_H
#define REQTAP_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_MAX (64 * 1024)

struct secret;

/*
 * For the whole process, not for what it executes: no core dump, not into a pipe either, and
 * /proc/PID belongs to root (PR_SET_DUMPABLE). Call before the first secret is read. 0 or negative
 * errno.
 */
int secret__guard_process(void);

/*
 * Leaves all memory out of a core that somebody takes from outside, as root's gcore does, which
 * asks the same filter as the kernel: libcurl has copies of what it sends. Inherited by what the
 * process executes, so not for `run`. Call before secret__guard_process(). 0 or negative errno.
 */
int secret__empty_core(void);

/* NULL: out of memory. Copies; the caller wipes its own. */
struct secret *secret__new(const char *text, size_t len);
struct secret *secret__free(struct secret *secret);

/* The text, NUL-terminated, and its length. */
const char *secret__text(const struct secret *secret);
size_t secret__len(const struct secret *secret);
/* Takes the same time whatever differs. */
bool secret__equal(const struct secret *a, const struct secret *b);

/* Reads a whole file or standard input, less one final line end. NULL with *ret_err < 0. */
struct secret *secret__read(int fd, int *ret_err);

/* Overwrites with zeros; not removed by a compiler. */
void secret__wipe(void *data, size_t len);

/*
 * Zeroes the registers that calls may change, the vector ones too: memcpy() leaves in them what it
 * copied last, and a core has each thread's registers whatever its filter. Call when libcurl, which
 * copies whole requests, has returned.
 */
void secret__wipe_registers(void);

#endif
