/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node.h"

#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include "agent/proc.h"

struct entry {
	uint64_t container;
	uint64_t found_ns;
	struct cgroup_name cgroup;
	char name[POD_NAME_MAX]; /* of the container in its pod; "": not known */
	bool has_pod;            /* what the pod says was taken up */
	bool selected, build;    /* by the pod */
	bool let_go;             /* its lines are not ours, and the caller was told */
	bool has_sidecar;        /* it, or another of its pod, may be one */
	UT_hash_handle hh;
};

struct node {
	struct node_config config;
	struct entry *entries;
};

struct node *node__new(const struct node_config *config)
{
	struct node *node = calloc(1, sizeof(*node));

	if (node)
		node->config = *config;
	return node;
}

struct node *node__free(struct node *node)
{
	while (node && node->entries)
		node__gone(node, node->entries->container);
	free(node);
	return NULL;
}

static struct entry *entry_find(const struct node *node, uint64_t container)
{
	struct entry *entry;

	HASH_FIND(hh, node->entries, &container, sizeof(container), entry);
	return entry;
}

static bool is_sidecar(const struct node *node, const char *name)
{
	for (const char *const *at = node->config.sidecars; at && *at; at++)
		if (!strcmp(*at, name))
			return true;
	return false;
}

static void take_pod(struct node *node, struct entry *entry, const struct pod *pod)
{
	const struct pod_container *own = pod__container(pod, entry->cgroup.id);

	entry->has_pod = true;
	entry->selected = pod->selected;
	entry->build = pod->build;
	entry->has_sidecar = false;
	for (unsigned i = 0; i < pod->count; i++)
		entry->has_sidecar |= is_sidecar(node, pod->containers[i].name);
	if (own)
		strcpy(entry->name, own->name);
	replica_table__set(node->config.replicas, entry->container, &pod->early, &pod->late);
}

void node__found(struct node *node, uint64_t container, const struct cgroup_name *name,
		 uint64_t now_ns)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	const struct pod *pod;

	if (!entry)
		return;
	entry->container = container;
	entry->found_ns = now_ns;
	entry->cgroup = *name;
	HASH_ADD(hh, node->entries, container, sizeof(container), entry);
	pod = node->config.pods && name->pod_uid[0]
		      ? pod_table__find(node->config.pods, name->pod_uid)
		      : NULL;
	if (pod)
		take_pod(node, entry, pod);
}

void node__process(struct node *node, uint64_t container, pid_t tgid)
{
	struct entry *entry = entry_find(node, container);

	if (entry && !entry->name[0])
		proc__pod_container(tgid, entry->name, sizeof(entry->name));
}

void node__pod(struct node *node, const struct pod *before, const struct pod *now)
{
	struct entry *entry, *next;

	if (!now)
		return;
	HASH_ITER (hh, node->entries, entry, next)
		if (!strcmp(entry->cgroup.pod_uid, now->uid))
			take_pod(node, entry, now);
}

void node__gone(struct node *node, uint64_t container)
{
	struct entry *entry = entry_find(node, container);

	if (!entry)
		return;
	HASH_DEL(node->entries, entry);
	free(entry);
}

/* A container whose pod says nothing may say it itself, in its environment. */
static bool says_whose(const struct node *node, const struct entry *entry)
{
	const struct replica *replica = replica_table__get(node->config.replicas, entry->container);

	return replica->model_id.len || replica->chainlet_id.len || replica->training_job_id.len;
}

enum hold_verdict node__verdict(const struct node *node, uint64_t container, uint64_t now_ns)
{
	const struct entry *entry = entry_find(node, container);
	bool ours, late, waited;

	if (!entry)
		return HOLD_LEAVE;
	if (entry->name[0] && is_sidecar(node, entry->name))
		return HOLD_LEAVE;
	if (node->config.all)
		return HOLD_TAKE;
	waited = node->config.pods && entry->cgroup.pod_uid[0];
	late = !waited || now_ns >= entry->found_ns + NODE_WAIT_NS;
	ours = entry->selected || (!node->config.by_selector && says_whose(node, entry));
	if (entry->has_pod && ours && (entry->name[0] || !entry->has_sidecar))
		return HOLD_TAKE;
	if (!late)
		return HOLD_WAIT;
	if (ours)
		return HOLD_TAKE;
	return waited && !entry->has_pod ? HOLD_LOSE : HOLD_LEAVE;
}

void node__tick(struct node *node, uint64_t now_ns,
		void (*fn)(void *ctx, uint64_t container, bool ours), void *ctx)
{
	struct entry *entry, *next;

	HASH_ITER (hh, node->entries, entry, next) {
		enum hold_verdict verdict = node__verdict(node, entry->container, now_ns);

		if (verdict == HOLD_WAIT || entry->let_go == (verdict != HOLD_TAKE))
			continue;
		/* nobody knows it yet: what it writes is counted as left out, not unseen */
		if (verdict == HOLD_LOSE && now_ns < entry->found_ns + NODE_LET_GO_NS)
			continue;
		entry->let_go = verdict != HOLD_TAKE;
		fn(ctx, entry->container, !entry->let_go);
	}
}

enum scope node__scope(const struct node *node, uint64_t container)
{
	const struct entry *entry = entry_find(node, container);

	return entry && entry->build ? SCOPE_BUILD : SCOPE_SERVING;
}
