/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node: whose a container is, and whether its lines are ours: joins cgroups with pods.
 *
 * A pod is known first by its uid in the cgroup's path; which of its containers it is comes with
 * the container's id, or from what the kubelet mounted. Until then a line waits, at most
 * NODE_WAIT_NS from the container's beginning; then it goes with what is known.
 */
#ifndef REQTAP_NODE_H
#define REQTAP_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "agent/cgroup_name.h"
#include "agent/hold.h"
#include "agent/pod.h"
#include "agent/replica.h"

#define NODE_WAIT_NS 2000000000ULL
#define NODE_LET_GO_NS 60000000000ULL /* so long a container without a known pod is captured */

struct node_config {
	struct replica_table *replicas;
	const struct pod_table *pods; /* NULL: no Kubernetes, nothing to wait for */
	const char *const *sidecars;  /* NULL-terminated names of containers that are left out */
	bool by_selector;             /* ours are the pods that it selects, and no others */
	bool all;                     /* every container is ours, whatever is known of it */
};

struct node;

struct node *node__new(const struct node_config *config);
struct node *node__free(struct node *node);

/* A container's cgroup is there. */
void node__found(struct node *node, uint64_t container, const struct cgroup_name *name,
		 uint64_t now_ns);
/* A program began in it, or runs already. */
void node__process(struct node *node, uint64_t container, pid_t tgid);
/* A pod_fn's news; a pod that is gone leaves what it said to its containers. */
void node__pod(struct node *node, const struct pod *before, const struct pod *now);
void node__gone(struct node *node, uint64_t container);

enum hold_verdict node__verdict(const struct node *node, uint64_t container, uint64_t now_ns);

/* Tells of each container whose lines came to be ours, or not ours: the kernel need not send them.
 */
void node__tick(struct node *node, uint64_t now_ns,
		void (*fn)(void *ctx, uint64_t container, bool ours), void *ctx);

/* Of an image's build, or of a server. */
enum scope node__scope(const struct node *node, uint64_t container);

#endif
