/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container: which cgroups are containers, from the moment they are made.
 *
 * The kernel side makes every cgroup below a watched one a target at once, so that no first byte
 * is lost; it knows no names. This table learns of each by its event, looks at the path and
 * corrects the kernel's guess: a container is captured, what lies in it belongs to it, what lies
 * above is watched, all else is let go. What ran before is found by a scan.
 */
#ifndef REQTAP_CONTAINER_H
#define REQTAP_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "agent/cgroup.h"
#include "agent/cgroup_name.h"
#include "agent/probe.h"

#define CONTAINERS_MAX 4096
/* A line that ended with its container may still wait for its end, or for metadata. */
#define CONTAINER_LINGER_NS 10000000000ULL

struct container_info {
	uint64_t id;      /* its cgroup's */
	const char *path; /* below the v2 root */
	struct cgroup_name name;
};

struct container_config {
	struct probe *probe;
	const struct cgroup_tree *tree;
	/* NULL-terminated; a container's whole path matches one. None: cgroups that a runtime
	 * named. */
	const char *const *globs;
	/* A container appeared, and is captured. */
	void (*found)(void *ctx, const struct container_info *info);
	/* It is gone and lingered; forget it. */
	void (*gone)(void *ctx, uint64_t id);
	void *ctx;
};

struct container_stats {
	uint64_t found, gone, ignored;
	uint64_t unknown;  /* cgroups whose path is too long, not captured */
	uint64_t overflow; /* cgroups beyond CONTAINERS_MAX or the kernel's map, not captured */
	unsigned count;    /* now */
};

struct container_table;

/* Strings of `config` stay the caller's. NULL: out of memory. */
struct container_table *container_table__new(const struct container_config *config);
struct container_table *container_table__free(struct container_table *table);

/* Finds what runs, and watches for what comes. 0 or negative errno. */
int container_table__scan(struct container_table *table);

/* RT_EVENT_CGROUP. */
void container_table__cgroup(struct container_table *table, const struct event_cgroup *event);

/* The container that a cgroup is, or lies in; 0: none that is captured. */
uint64_t container_table__resolve(struct container_table *table, uint64_t cgroup);

/* Forgets what lingered long enough; returns when to call again. */
uint64_t container_table__tick(struct container_table *table, uint64_t now_ns);

const struct container_stats *container_table__stats(const struct container_table *table);

/* What a path is by the globs, or by its name where there are none: pure, for tests. */
enum container_place {
	CONTAINER_NOWHERE, /* no container, and none below */
	CONTAINER_ABOVE,   /* containers may be made below */
	CONTAINER_SELF,
	CONTAINER_INSIDE, /* below a container: part of it */
};

enum container_place container__place(const char *const *globs, const char *path);

#endif
