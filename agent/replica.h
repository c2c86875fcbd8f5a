/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replica: whose line it is. Keeps one struct replica (record.h) per container and says which
 * holds now. Sources, first hit wins per member: what the pod says first (kube.c), flags, the
 * dynamic environment file, the process environment, what the pod says last (identity.h).
 */
#ifndef REQTAP_REPLICA_H
#define REQTAP_REPLICA_H

#include <stdint.h>
#include <sys/types.h>
#include "agent/identity.h"
#include "agent/record.h"

#define REPLICA_ENVIRONMENT_FILE "/etc/b10_dynamic_config/environment"

struct replica_table;

struct replica_config {
	const struct replica *given;    /* members set by flags, or NULL; copied */
	const struct identity_map *map; /* NULL: the default; copied */
	/* The environment file changed under a running container; NULL. */
	void (*promoted)(void *ctx, const struct replica *now, struct str before);
	void *ctx;
};

/* NULL as `config`: all at their defaults. */
struct replica_table *replica_table__new(const struct replica_config *config);
struct replica_table *replica_table__free(struct replica_table *table);

/*
 * A process of `container` is known: reads the variables that the map names from /proc/PID/environ,
 * of the container's first programs until one has any, and the environment file under
 * /proc/PID/root. A process that is gone is no error.
 */
void replica_table__process(struct replica_table *table, uint64_t container, pid_t tgid);

/* What the pod says; copied. 0 or -ENOMEM. */
int replica_table__set(struct replica_table *table, uint64_t container,
		       const struct identity *early, const struct identity *late);

/* Never NULL: an unknown container has an empty replica. Valid until the table changes. */
const struct replica *replica_table__get(struct replica_table *table, uint64_t container);

void replica_table__remove(struct replica_table *table, uint64_t container);

/* The round's time: a file that was not looked at for a while is, before a line goes out. */
void replica_table__now(struct replica_table *table, uint64_t now_ns);

/* Re-reads environment files that changed; returns when to call again. */
uint64_t replica_table__tick(struct replica_table *table, uint64_t now_ns);

#endif
