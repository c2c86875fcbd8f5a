/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mapping__open(const struct mapping *mapping)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, mapping->tgid,
		 mapping->start, mapping->end);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* One line of /proc/PID/maps; true for an executable mapping of a file. */
static bool parse(char *line, struct mapping *ret)
{
	char permissions[5];
	uint64_t inode;
	int path = 0;

	line[strcspn(line, "\n")] = 0;
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %" SCNu64 " %n", &ret->start,
		   &ret->end, permissions, &ret->offset, &inode, &path) < 5)
		return false;
	ret->path = line + path;
	return permissions[2] == 'x' && inode;
}

int mapping__each(pid_t tgid, mapping_fn fn, void *ctx)
{
	char path[64], *line = NULL;
	size_t size = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", tgid);
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	for (unsigned i = 0; i < MAPPINGS_MAX && getline(&line, &size, maps) > 0; i++) {
		struct mapping mapping = { .tgid = tgid };

		if (parse(line, &mapping))
			fn(ctx, &mapping);
	}
	free(line);
	fclose(maps);
	return 0;
}
