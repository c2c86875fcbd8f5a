/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup: the node's v2 hierarchy: where it is mounted, its cgroups and their processes. A cgroup's
 * id, as BPF programs see it, is the inode number of its directory (fs/kernfs/mount.c,
 * kernfs_ino(); 64-bit kernels). Paths begin with "/" at the root of the tree.
 */
#ifndef REQTAP_CGROUP_H
#define REQTAP_CGROUP_H

#include <stdint.h>
#include <sys/types.h>
#include "bpf/event.h"

#define CGROUP_PATH_MAX RT_CGROUP_PATH_MAX

/* Which hierarchies a node has. Targets are known by their v2 id, so v1 alone will not do. */
enum cgroup_layout {
	CGROUP_NONE,    /* no cgroup is mounted */
	CGROUP_V1,      /* v1 alone: cannot be captured */
	CGROUP_HYBRID,  /* v1 controllers beside a v2 tree */
	CGROUP_UNIFIED, /* v2 alone */
};

struct cgroup_tree {
	int fd;                      /* its root directory */
	char mount[CGROUP_PATH_MAX]; /* where that is */
	enum cgroup_layout layout;
};

/* What the text of a mountinfo file says (proc(5)); `ret_mount` is the first v2 mount point from
 * `from` on, "" for none. Returns where to look on in `text`. */
enum cgroup_layout cgroup__layout(const char *mountinfo);
const char *cgroup__next_mount(const char *mountinfo, char ret_mount[CGROUP_PATH_MAX]);

/*
 * Finds the tree by /proc/self/mountinfo. 0; -ENOTSUP with *ret_problem (a constant): what is
 * missing, and the mend; -errno when it cannot be read.
 */
int cgroup_tree__open(struct cgroup_tree *ret, const char **ret_problem);
void cgroup_tree__close(struct cgroup_tree *tree);

/*
 * Calls fn for `path` and every cgroup below it, parents first; a negative result of fn leaves out
 * what is below. A cgroup that vanishes meanwhile is passed over. 0 or negative errno.
 */
typedef int (*cgroup_fn)(void *ctx, uint64_t id, const char *path);
int cgroup_tree__walk(const struct cgroup_tree *tree, const char *path, cgroup_fn fn, void *ctx);

/* Calls fn for each process of that one cgroup, until it returns other than 0. */
typedef int (*cgroup_process_fn)(void *ctx, pid_t tgid);
int cgroup_tree__processes(const struct cgroup_tree *tree, const char *path, cgroup_process_fn fn,
			   void *ctx);

#endif
