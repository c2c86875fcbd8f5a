/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapping: the files that a process has mapped to execute, from /proc.
 */
#ifndef REQTAP_MAPPING_H
#define REQTAP_MAPPING_H

#include <stdint.h>
#include <sys/types.h>

#define MAPPINGS_MAX 4096 /* of one process; those beyond are not looked at */

struct mapping {
	pid_t tgid;
	uint64_t start, end; /* addresses in the process */
	uint64_t offset;     /* in the file */
	const char *path;    /* as the process names it, for people; may be "" */
};

/*
 * The file itself, which the caller closes, or negative errno. Through map_files, which needs no
 * path and no mount namespace, and has the file even when it was deleted.
 */
int mapping__open(const struct mapping *mapping);

typedef void (*mapping_fn)(void *ctx, const struct mapping *mapping);

/* One callback for each. 0 or negative errno; -ENOENT: the process ended. */
int mapping__each(pid_t tgid, mapping_fn fn, void *ctx);

#endif
