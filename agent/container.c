/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/container.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include "agent/proc.h"

/* A container's cgroup, or one inside it. */
struct entry {
	uint64_t cgroup;
	uint64_t container;
	uint64_t gone_ns; /* 0: it is there */
	UT_hash_handle hh;
	char path[];
};

struct container_table {
	struct container_config config;
	struct entry *entries;
	struct container_stats stats;
};

/* Where the component number `count` of `path` ends, or where the path does. */
static size_t components_len(const char *path, unsigned count)
{
	const char *at = path;

	while (count-- && *at)
		at = strchrnul(at + 1, '/');
	return at - path;
}

static unsigned components(const char *path)
{
	unsigned count = 0;

	for (; *path; path++)
		count += path[0] == '/' && path[1] && path[1] != '/';
	return count;
}

/* Both cut to as many components as the shorter has. */
static enum container_place place_by_glob(const char *glob, const char *path)
{
	unsigned pattern = components(glob), depth = components(path);
	unsigned common = pattern < depth ? pattern : depth;
	char cut_glob[CGROUP_PATH_MAX], cut_path[CGROUP_PATH_MAX];
	size_t glob_len = components_len(glob, common), path_len = components_len(path, common);

	if (glob_len >= sizeof(cut_glob) || path_len >= sizeof(cut_path))
		return CONTAINER_NOWHERE;
	memcpy(cut_glob, glob, glob_len);
	cut_glob[glob_len] = 0;
	memcpy(cut_path, path, path_len);
	cut_path[path_len] = 0;
	if (common && fnmatch(cut_glob, cut_path, FNM_PATHNAME))
		return CONTAINER_NOWHERE;
	return depth < pattern    ? CONTAINER_ABOVE
	       : depth == pattern ? CONTAINER_SELF
				  : CONTAINER_INSIDE;
}

static enum container_place place_by_name(const char *path)
{
	struct cgroup_name name;

	cgroup_name__parse(path, &name);
	return !name.id[0] ? CONTAINER_ABOVE : name.inside ? CONTAINER_INSIDE : CONTAINER_SELF;
}

enum container_place container__place(const char *const *globs, const char *path)
{
	enum container_place best = CONTAINER_NOWHERE;

	if (!*globs)
		return place_by_name(path);
	for (; *globs; globs++) {
		enum container_place place = place_by_glob(*globs, path);

		if (place > best)
			best = place;
	}
	return best;
}

struct container_table *container_table__new(const struct container_config *config)
{
	struct container_table *table = calloc(1, sizeof(*table));

	if (table)
		table->config = *config;
	return table;
}

static void entry_free(struct container_table *table, struct entry *entry)
{
	HASH_DEL(table->entries, entry);
	free(entry);
}

struct container_table *container_table__free(struct container_table *table)
{
	while (table && table->entries)
		entry_free(table, table->entries);
	free(table);
	return NULL;
}

static struct entry *entry_find(struct container_table *table, uint64_t cgroup)
{
	struct entry *entry;

	HASH_FIND(hh, table->entries, &cgroup, sizeof(cgroup), entry);
	return entry;
}

static struct entry *entry_add(struct container_table *table, uint64_t cgroup, const char *path)
{
	struct entry *entry;

	if (HASH_COUNT(table->entries) >= CONTAINERS_MAX) {
		table->stats.overflow++;
		return NULL;
	}
	entry = calloc(1, sizeof(*entry) + strlen(path) + 1);
	if (!entry)
		return NULL;
	entry->cgroup = cgroup;
	strcpy(entry->path, path);
	HASH_ADD(hh, table->entries, cgroup, sizeof(entry->cgroup), entry);
	return entry;
}

/* The container that the cgroup `path` lies in. */
static struct entry *entry_around(struct container_table *table, const char *path)
{
	struct entry *entry, *next;

	HASH_ITER (hh, table->entries, entry, next) {
		size_t len = strlen(entry->path);

		if (entry->cgroup == entry->container && !strncmp(path, entry->path, len) &&
		    path[len] == '/')
			return entry;
	}
	return NULL;
}

static int tell_kernel(struct container_table *table, uint64_t cgroup, uint64_t container,
		       uint32_t flags)
{
	int err = probe__container_put(table->config.probe, cgroup, container, flags);

	table->stats.overflow += err != 0;
	return err;
}

/* Tells the kernel side what a cgroup is, and the caller what a container is. */
static void place(struct container_table *table, uint64_t cgroup, const char *path)
{
	struct container_info info = { .id = cgroup };
	struct entry *entry, *around;

	if (entry_find(table, cgroup))
		return;
	switch (container__place(table->config.globs, path)) {
	case CONTAINER_NOWHERE:
		probe__container_remove(table->config.probe, cgroup);
		return;
	case CONTAINER_ABOVE:
		tell_kernel(table, cgroup, cgroup, RT_CONTAINER_CHILDREN);
		return;
	case CONTAINER_SELF:
		entry = entry_add(table, cgroup, path);
		if (!entry)
			return;
		if (tell_kernel(table, cgroup, cgroup, RT_CONTAINER_CAPTURE)) {
			entry_free(table, entry);
			return;
		}
		entry->container = cgroup;
		info.path = entry->path;
		cgroup_name__parse(path, &info.name);
		table->stats.found++;
		table->stats.count++;
		table->config.found(table->config.ctx, &info);
		return;
	case CONTAINER_INSIDE:
		around = entry_around(table, path);
		entry = around ? entry_add(table, cgroup, path) : NULL;
		if (!entry)
			return;
		entry->container = around->cgroup;
		tell_kernel(table, cgroup, around->cgroup, RT_CONTAINER_CAPTURE);
		return;
	}
}

static int on_scanned(void *ctx, uint64_t id, const char *path)
{
	struct container_table *table = ctx;

	place(table, id, path);
	return container__place(table->config.globs, path) == CONTAINER_NOWHERE ? -1 : 0;
}

int container_table__scan(struct container_table *table)
{
	return cgroup_tree__walk(table->config.tree, "/", on_scanned, table);
}

void container_table__cgroup(struct container_table *table, const struct event_cgroup *event)
{
	struct entry *entry = entry_find(table, event->head.container);
	size_t len = strnlen(event->path, sizeof(event->path));

	if (event->removed) {
		if (entry && !entry->gone_ns)
			entry->gone_ns = event->head.time_ns;
		return;
	}
	if (entry)
		return;
	if (!len || len >= sizeof(event->path) - 1) /* cut, perhaps */
		table->stats.unknown++;
	else
		place(table, event->head.container, event->path);
}

uint64_t container_table__resolve(struct container_table *table, uint64_t cgroup)
{
	struct entry *entry = entry_find(table, cgroup);

	return entry ? entry->container : 0;
}

uint64_t container_table__tick(struct container_table *table, uint64_t now_ns)
{
	struct entry *entry, *next;

	HASH_ITER (hh, table->entries, entry, next) {
		if (!entry->gone_ns || now_ns < entry->gone_ns + CONTAINER_LINGER_NS)
			continue;
		if (entry->cgroup == entry->container) {
			table->stats.gone++;
			table->stats.count--;
			table->config.gone(table->config.ctx, entry->cgroup);
		}
		probe__container_remove(table->config.probe, entry->cgroup);
		entry_free(table, entry);
	}
	return now_ns + CONTAINER_LINGER_NS / 10;
}

const struct container_stats *container_table__stats(const struct container_table *table)
{
	return &table->stats;
}
