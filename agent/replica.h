/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replica: whose line it is. Keeps one struct replica (record.h) per container and says which
 * holds now. Sources, first hit wins per member: what Kubernetes says (kube.c), flags, the
 * process environment, the dynamic environment file.
 */
#ifndef REQTAP_REPLICA_H
#define REQTAP_REPLICA_H

#include <stdint.h>
#include <sys/types.h>
#include "agent/record.h"

#define REPLICA_ENVIRONMENT_FILE "/etc/b10_dynamic_config/environment"

struct replica_table;

/* `given`: members set by flags, or NULL. Copied. */
struct replica_table *replica_table__new(const struct replica *given);
struct replica_table *replica_table__free(struct replica_table *table);

/*
 * A process of `container` is known: reads BT_MODEL_ID, BT_MODEL_DEPLOYMENT_ID and
 * BT_TRAINING_JOB_ID from /proc/PID/environ, once per container until all is known, and the
 * environment file under /proc/PID/root. A process that is gone is no error.
 */
void replica_table__process(struct replica_table *table, uint64_t container, pid_t tgid);

/* Members that Kubernetes knows win over the others; `from` is copied, empty members pass. */
int replica_table__set(struct replica_table *table, uint64_t container, const struct replica *from);

/* Never NULL: an unknown container has an empty replica. Valid until the table changes. */
const struct replica *replica_table__get(struct replica_table *table, uint64_t container);

void replica_table__remove(struct replica_table *table, uint64_t container);

/* Re-reads environment files that changed; returns when to call again. */
uint64_t replica_table__tick(struct replica_table *table, uint64_t now_ns);

#endif
