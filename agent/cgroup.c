/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOUNTINFO_BYTES (4U << 20)
#define DEPTH_MAX 64 /* a runaway nesting is not walked */
#define ROOT_INODE 1 /* of the whole tree; a cgroup namespace shows another one */

/* The file system's type in a line of mountinfo: what follows " - ". */
static const char *mount_type(const char *line)
{
	const char *end = strchrnul(line, '\n'), *dash = strstr(line, " - ");

	return dash && dash < end ? dash + 3 : "";
}

static const char *next_line(const char *line)
{
	const char *end = strchrnul(line, '\n');

	return *end ? end + 1 : end;
}

enum cgroup_layout cgroup__layout(const char *mountinfo)
{
	bool v1 = false, v2 = false;

	for (const char *line = mountinfo; *line; line = next_line(line)) {
		v1 |= !strncmp(mount_type(line), "cgroup ", 7);
		v2 |= !strncmp(mount_type(line), "cgroup2 ", 8);
	}
	return v2 ? (v1 ? CGROUP_HYBRID : CGROUP_UNIFIED) : (v1 ? CGROUP_V1 : CGROUP_NONE);
}

/* Spaces and the like are written as \040 (fs/proc_namespace.c, mangle()). */
static void copy_mount_point(const char *line, char *ret)
{
	size_t len = 0;

	for (int field = 0; field < 4 && *line; field++)
		line = strchrnul(line, ' ') + (*strchrnul(line, ' ') != 0);
	while (*line && *line != ' ' && *line != '\n' && len < CGROUP_PATH_MAX - 1) {
		bool escaped = line[0] == '\\' && line[1] >= '0' && line[1] <= '3' &&
			       line[2] >= '0' && line[2] <= '7' && line[3] >= '0' && line[3] <= '7';

		ret[len++] = escaped ? (line[1] - '0') << 6 | (line[2] - '0') << 3 | (line[3] - '0')
				     : line[0];
		line += escaped ? 4 : 1;
	}
	ret[len] = 0;
}

const char *cgroup__next_mount(const char *mountinfo, char ret_mount[CGROUP_PATH_MAX])
{
	ret_mount[0] = 0;
	for (; *mountinfo; mountinfo = next_line(mountinfo)) {
		if (strncmp(mount_type(mountinfo), "cgroup2 ", 8))
			continue;
		copy_mount_point(mountinfo, ret_mount);
		return next_line(mountinfo);
	}
	return mountinfo;
}

/* The first v2 mount that shows the tree from its root. */
static int open_whole(struct cgroup_tree *tree, const char *mountinfo)
{
	struct stat st;

	while (*mountinfo) {
		mountinfo = cgroup__next_mount(mountinfo, tree->mount);
		if (!tree->mount[0])
			break;
		tree->fd = open(tree->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (tree->fd >= 0 && !fstat(tree->fd, &st) && st.st_ino == ROOT_INODE)
			return 0;
		cgroup_tree__close(tree);
	}
	return -ENOENT;
}

int cgroup_tree__open(struct cgroup_tree *ret, const char **ret_problem)
{
	char *text = malloc(MOUNTINFO_BYTES);
	FILE *in = fopen("/proc/self/mountinfo", "re");
	int err = text && in ? 0 : text ? -errno : -ENOMEM;

	*ret_problem = NULL;
	*ret = (struct cgroup_tree){ .fd = -1 };
	if (!err) {
		text[fread(text, 1, MOUNTINFO_BYTES - 1, in)] = 0;
		ret->layout = cgroup__layout(text);
		err = open_whole(ret, text);
	}
	if (err == -ENOENT) {
		err = -ENOTSUP;
		*ret_problem =
			ret->layout == CGROUP_V1
				? "this node has cgroup v1 alone, and containers are told apart by "
				  "their "
				  "v2 cgroup; boot with systemd.unified_cgroup_hierarchy=1"
			: ret->layout == CGROUP_NONE
				? "no cgroup v2 is mounted; mount -t cgroup2 none /sys/fs/cgroup"
				: "the cgroup v2 mount does not show the node's whole tree; mount "
				  "the "
				  "node's own /sys/fs/cgroup here";
	}
	if (in)
		fclose(in);
	free(text);
	return err;
}

void cgroup_tree__close(struct cgroup_tree *tree)
{
	if (tree->fd >= 0)
		close(tree->fd);
	tree->fd = -1;
}

int cgroup_tree__walk(const struct cgroup_tree *tree, const char *path, cgroup_fn fn, void *ctx)
{
	char top[2 * CGROUP_PATH_MAX], *tops[] = { top, NULL };
	size_t mount_len = strlen(tree->mount);
	FTSENT *entry;
	FTS *walk;

	snprintf(top, sizeof(top), "%s%s", tree->mount, strcmp(path, "/") ? path : "");
	walk = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (!walk)
		return -errno;
	while ((entry = fts_read(walk))) {
		const char *below = entry->fts_path + mount_len;

		if (entry->fts_info != FTS_D)
			continue;
		if (entry->fts_level > DEPTH_MAX || entry->fts_pathlen >= CGROUP_PATH_MAX ||
		    fn(ctx, entry->fts_statp->st_ino, *below ? below : "/") < 0)
			fts_set(walk, entry, FTS_SKIP);
	}
	fts_close(walk);
	return 0;
}

int cgroup_tree__processes(const struct cgroup_tree *tree, const char *path, cgroup_process_fn fn,
			   void *ctx)
{
	char file[2 * CGROUP_PATH_MAX];
	int pid, err = 0;
	FILE *in;

	snprintf(file, sizeof(file), "%s%s/cgroup.procs", tree->mount, path);
	in = fopen(file, "re");
	if (!in)
		return -errno;
	/* 0 stands for a process of another pid namespace: not ours to see */
	while (!err && fscanf(in, "%d", &pid) == 1)
		err = pid > 0 ? fn(ctx, pid) : 0;
	fclose(in);
	return err;
}
