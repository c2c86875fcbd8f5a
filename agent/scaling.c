/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/scaling.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define KEY_MAX 512
#define MESSAGE_MAX 400
#define POD_SET_MAX 254

/* A Deployment, Job or whatever owns pods; by "namespace/kind/name". */
struct workload {
	char key[KEY_MAX];
	struct identity identity; /* without the replica */
	unsigned pods;            /* now */
	bool asleep;              /* was scaled to zero */
	char set[POD_SET_MAX];    /* of its newest pod: a roll-out empties another one */
	UT_hash_handle hh;
};

struct scaling {
	struct workload *workloads;
};

int scaling__parse(const char *message, struct str *ret_set, int *ret_from, int *ret_to)
{
	static const char up[] = "Scaled up replica set ", down[] = "Scaled down replica set ";
	const char *at = !strncmp(message, up, sizeof(up) - 1)       ? message + sizeof(up) - 1
			 : !strncmp(message, down, sizeof(down) - 1) ? message + sizeof(down) - 1
								     : NULL;
	size_t len = at ? strcspn(at, " ") : 0;

	if (!len)
		return -EPROTO;
	*ret_set = (struct str){ at, len };
	*ret_from = -1;
	at += len;
	if (sscanf(at, " from %d to %d", ret_from, ret_to) == 2 ||
	    sscanf(at, " to %d from %d", ret_to, ret_from) == 2)
		return *ret_from < 0 || *ret_to < 0 ? -EPROTO : 0;
	*ret_from = -1;
	return sscanf(at, " to %d", ret_to) == 1 && *ret_to >= 0 ? 0 : -EPROTO;
}

struct scaling *scaling__new(void)
{
	return calloc(1, sizeof(struct scaling));
}

static void workload_free(struct scaling *scaling, struct workload *workload)
{
	HASH_DEL(scaling->workloads, workload);
	identity__clear(&workload->identity);
	free(workload);
}

struct scaling *scaling__free(struct scaling *scaling)
{
	while (scaling && scaling->workloads)
		workload_free(scaling, scaling->workloads);
	free(scaling);
	return NULL;
}

/* A ReplicaSet is its Deployment's: the name, a dash and a hash. */
static bool key_of(const struct pod *pod, char key[KEY_MAX])
{
	const char *kind = pod->owner_kind, *dash = pod->owner ? strrchr(pod->owner, '-') : NULL;
	int len = pod->owner ? strlen(pod->owner) : 0;

	if (!len)
		return false;
	if (!strcmp(kind, "ReplicaSet") && dash) {
		kind = "Deployment";
		len = dash - pod->owner;
	}
	return snprintf(key, KEY_MAX, "%s/%s/%.*s", pod->space, kind, len, pod->owner) < KEY_MAX;
}

static struct workload *find(struct scaling *scaling, const char *key)
{
	struct workload *workload;

	HASH_FIND_STR(scaling->workloads, key, workload);
	return workload;
}

static struct workload *add(struct scaling *scaling, const char *key)
{
	struct workload *workload, *next;

	/* the oldest that has no pods makes room */
	if (HASH_COUNT(scaling->workloads) >= SCALING_WORKLOADS_MAX)
		HASH_ITER (hh, scaling->workloads, workload, next)
			if (!workload->pods) {
				workload_free(scaling, workload);
				break;
			}
	if (HASH_COUNT(scaling->workloads) >= SCALING_WORKLOADS_MAX)
		return NULL;
	workload = calloc(1, sizeof(*workload));
	if (!workload)
		return NULL;
	snprintf(workload->key, sizeof(workload->key), "%s", key);
	HASH_ADD_STR(scaling->workloads, key, workload);
	return workload;
}

void scaling__pod(struct scaling *scaling, const struct pod *before, const struct pod *now)
{
	const struct pod *pod = now ? now : before;
	char key[KEY_MAX];
	struct workload *workload;
	struct replica replica = pod__replica(pod);

	if (!pod->selected || !key_of(pod, key))
		return;
	workload = find(scaling, key);
	if (!workload && now)
		workload = add(scaling, key);
	if (!workload)
		return;
	workload->pods += !before;
	workload->pods -= !now && workload->pods;
	if (!before && strlen(pod->owner) < sizeof(workload->set))
		strcpy(workload->set, pod->owner);
	for (int m = 0; now && m < IDENTITY_MEMBERS; m++)
		if (m != IDENTITY_REPLICA)
			identity__set(&workload->identity, m, identity__member(&replica, m)->data,
				      identity__member(&replica, m)->len);
}

static void tell_scaling(struct workload *workload, const struct kube_event *event, char *text)
{
	struct str set;
	int from, to;

	text[0] = 0;
	if (scaling__parse(event->message, &set, &from, &to))
		return;
	if (to == 0 && !str_equal(set, str_from(workload->set)))
		return; /* the old one of a roll-out */
	if (to == 0)
		snprintf(text, MESSAGE_MAX, "deployment scaled to zero");
	else if (from == 0 && workload->asleep)
		snprintf(text, MESSAGE_MAX, "deployment woken: scaled up to %d", to);
	else if (from == 0)
		snprintf(text, MESSAGE_MAX, "deployment activated: scaled up to %d", to);
	else if (from < 0)
		snprintf(text, MESSAGE_MAX, "deployment scaled to %d", to);
	else
		snprintf(text, MESSAGE_MAX, "deployment scaled %s from %d to %d",
			 to > from ? "up" : "down", from, to);
	workload->asleep = to == 0;
}

static void tell_job(const struct kube_event *event, char *text)
{
	text[0] = 0;
	if (!strcmp(event->reason, "Completed"))
		snprintf(text, MESSAGE_MAX, "job completed");
	else if (event->warning)
		snprintf(text, MESSAGE_MAX, "job failed: %.300s", event->message);
}

void scaling__event(struct scaling *scaling, const struct kube_event *event,
		    void (*fn)(void *ctx, const struct replica *replica, enum severity severity,
			       const char *text),
		    void *ctx)
{
	char key[KEY_MAX], text[MESSAGE_MAX] = "";
	struct replica replica = { 0 };
	struct workload *workload;

	if (snprintf(key, sizeof(key), "%s/%s/%s", event->space, event->kind, event->object) >=
	    KEY_MAX)
		return;
	workload = find(scaling, key);
	if (!workload)
		return;
	if (!strcmp(event->reason, "ScalingReplicaSet"))
		tell_scaling(workload, event, text);
	else if (!strcmp(event->kind, "Job"))
		tell_job(event, text);
	if (!text[0])
		return;
	for (int m = 0; m < IDENTITY_MEMBERS; m++)
		*identity__member(&replica, m) = str_from(workload->identity.text[m]);
	fn(ctx, &replica, event->warning ? SEVERITY_ERROR : SEVERITY_INFO, text);
}
