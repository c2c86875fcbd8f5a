/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kube.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cJSON.h>

#define NS 1000000000LL

static const cJSON *get(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* NULL when it is no text. */
static const char *text_of(const cJSON *object, const char *key)
{
	return cJSON_GetStringValue(get(object, key));
}

static int number_of(const cJSON *object, const char *key)
{
	const cJSON *number = get(object, key);

	return cJSON_IsNumber(number) ? number->valueint : 0;
}

/* What is too long is cut: reasons are shown, not compared. */
static void copy(char *ret, size_t size, const char *text)
{
	snprintf(ret, size, "%s", text ? text : "");
}

/* Versions and tokens are compared or sent back: cut, they would be others. */
static void copy_whole(char *ret, size_t size, const char *text)
{
	copy(ret, size, text && strlen(text) < size ? text : "");
}

int64_t kube__time(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t ns = 0, digit = NS / 10;

	/* from 1970 on, and before 64 bits of nanoseconds end, in 2262 */
	if (!rest || tm.tm_year < 70 || tm.tm_year > 300)
		return 0;
	if (*rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, digit /= 10)
			ns += (*rest - '0') * digit;
	return strcmp(rest, "Z") ? 0 : timegm(&tm) * NS + ns;
}

static const char *find_label(void *ctx, const char *key)
{
	return text_of(get(get(ctx, "metadata"), "labels"), key);
}

static const char *find(void *ctx, enum identity_source source, const char *key)
{
	const cJSON *pod = ctx, *container, *variable;

	if (source == IDENTITY_LABEL)
		return find_label(ctx, key);
	if (source == IDENTITY_ANNOTATION)
		return text_of(get(get(pod, "metadata"), "annotations"), key);
	cJSON_ArrayForEach (container, get(get(pod, "spec"), "containers")) {
		cJSON_ArrayForEach (variable, get(container, "env")) {
			const char *name = text_of(variable, "name");

			if (name && !strcmp(name, key) && text_of(variable, "value"))
				return text_of(variable, "value");
		}
	}
	return NULL;
}

static void read_terminated(const cJSON *state, int *ret_code, char *ret_reason)
{
	*ret_code = number_of(state, "exitCode");
	copy(ret_reason, POD_REASON_MAX, text_of(state, "reason"));
}

static void read_status(const cJSON *status, struct pod_container *container)
{
	const cJSON *state = get(status, "state"), *terminated = get(state, "terminated");
	const char *id = text_of(status, "containerID"), *bare = id ? strstr(id, "://") : NULL;

	copy_whole(container->id, sizeof(container->id), bare ? bare + 3 : NULL);
	container->restarts = number_of(status, "restartCount");
	container->ready = cJSON_IsTrue(get(status, "ready"));
	container->state = terminated              ? POD_TERMINATED
			   : get(state, "running") ? POD_RUNNING
						   : POD_WAITING;
	if (terminated)
		read_terminated(terminated, &container->exit_code, container->reason);
	else
		copy(container->reason, POD_REASON_MAX, text_of(get(state, "waiting"), "reason"));
	read_terminated(get(get(status, "lastState"), "terminated"), &container->last_exit_code,
			container->last_reason);
}

static void read_statuses(const cJSON *statuses, struct pod *pod)
{
	const cJSON *status;

	cJSON_ArrayForEach (status, statuses) {
		const char *name = text_of(status, "name");

		for (unsigned i = 0; name && i < pod->count; i++)
			if (!strcmp(pod->containers[i].name, name))
				read_status(status, &pod->containers[i]);
	}
}

static unsigned read_names(const cJSON *containers, struct pod *pod, unsigned at, bool init)
{
	const cJSON *container;

	cJSON_ArrayForEach (container, containers) {
		if (at == pod->count)
			break;
		pod->containers[at].init = init;
		copy(pod->containers[at++].name, POD_NAME_MAX, text_of(container, "name"));
	}
	return at;
}

static void read_conditions(const cJSON *status, struct pod *pod)
{
	static const char *const phases[] = { "Pending", "Running", "Succeeded", "Failed" };
	const char *phase = text_of(status, "phase");
	const cJSON *condition;

	pod->phase = POD_UNKNOWN;
	for (int i = 0; phase && i < 4; i++)
		if (!strcmp(phase, phases[i]))
			pod->phase = i;
	copy(pod->reason, sizeof(pod->reason), text_of(status, "reason"));
	cJSON_ArrayForEach (condition, get(status, "conditions")) {
		const char *type = text_of(condition, "type"),
			   *holds = text_of(condition, "status");

		if (type && holds && !strcmp(type, "Ready"))
			pod->ready = !strcmp(holds, "True");
	}
}

static int read_owner(const cJSON *metadata, struct pod *pod)
{
	const cJSON *owner;

	cJSON_ArrayForEach (owner, get(metadata, "ownerReferences")) {
		const char *name = text_of(owner, "name");

		if (!cJSON_IsTrue(get(owner, "controller")) || !name)
			continue;
		copy(pod->owner_kind, sizeof(pod->owner_kind), text_of(owner, "kind"));
		pod->owner = strdup(name);
		return pod->owner ? 0 : -ENOMEM;
	}
	return 0;
}

static bool says_whose(const struct pod *pod)
{
	struct replica replica = pod__replica(pod);

	return replica.model_id.len || replica.chainlet_id.len || replica.training_job_id.len;
}

static int read_identity(const struct kube_rules *rules, const cJSON *object, struct pod *pod)
{
	struct str suffix = identity__replica_of_pod(str_from(pod->name));
	void *ctx = (void *)object;
	int err = identity_map__of_pod(rules->map, find, ctx, &pod->early, &pod->late);

	if (!err && !pod->early.text[IDENTITY_REPLICA])
		err = identity__set(&pod->early, IDENTITY_REPLICA, suffix.data, suffix.len);
	pod->build = rules->build && selector__match(rules->build, find_label, ctx);
	pod->selected = rules->selected ? selector__match(rules->selected, find_label, ctx)
					: says_whose(pod) || pod->build;
	return err;
}

/* The cgroups of a static pod are named by its own uid; the API server shows its mirror. */
static const char *uid_of(const cJSON *metadata)
{
	const char *hash = text_of(get(metadata, "annotations"), "kubernetes.io/config.hash");

	return hash ? hash : text_of(metadata, "uid");
}

static struct pod *read_pod(const struct kube_rules *rules, const cJSON *object)
{
	const cJSON *metadata = get(object, "metadata"), *spec = get(object, "spec");
	const cJSON *status = get(object, "status");
	unsigned count = cJSON_GetArraySize(get(spec, "containers")) +
			 cJSON_GetArraySize(get(spec, "initContainers"));
	const char *name = text_of(metadata, "name"), *uid = uid_of(metadata);
	struct pod *pod;
	int err;

	if (!name || !uid || strlen(uid) >= POD_UID_MAX)
		return NULL;
	pod = pod__new(count < POD_CONTAINERS_MAX ? count : POD_CONTAINERS_MAX);
	if (!pod)
		return NULL;
	copy(pod->uid, sizeof(pod->uid), uid);
	pod->name = strdup(name);
	pod->space = strdup(text_of(metadata, "namespace") ? text_of(metadata, "namespace") : "");
	pod->scheduled = text_of(spec, "nodeName");
	pod->deleting = text_of(metadata, "deletionTimestamp");
	read_names(get(spec, "initContainers"), pod,
		   read_names(get(spec, "containers"), pod, 0, false), true);
	read_statuses(get(status, "containerStatuses"), pod);
	read_statuses(get(status, "initContainerStatuses"), pod);
	read_conditions(status, pod);
	err = pod->name && pod->space ? read_owner(metadata, pod) : -ENOMEM;
	if (!err)
		err = read_identity(rules, object, pod);
	return err ? pod__free(pod) : pod;
}

struct kube_event *kube_event__free(struct kube_event *event)
{
	if (!event)
		return NULL;
	free(event->object);
	free(event->space);
	free(event->message);
	free(event);
	return NULL;
}

/* Three writers, three places: the newest occurrence of an event that repeats is asked first. */
static int64_t event_time(const cJSON *object)
{
	const char *const texts[] = { text_of(get(object, "series"), "lastObservedTime"),
				      text_of(object, "lastTimestamp"),
				      text_of(object, "eventTime"),
				      text_of(get(object, "metadata"), "creationTimestamp") };
	int64_t time = 0;

	for (size_t i = 0; !time && i < sizeof(texts) / sizeof(texts[0]); i++)
		time = kube__time(texts[i]);
	return time;
}

static struct kube_event *read_event(const cJSON *object)
{
	const cJSON *about = get(object, "involvedObject");
	const char *name = text_of(about, "name"), *type = text_of(object, "type");
	const char *space = text_of(about, "namespace"), *message = text_of(object, "message");
	struct kube_event *event = name ? calloc(1, sizeof(*event)) : NULL;

	if (!event)
		return NULL;
	copy(event->kind, sizeof(event->kind), text_of(about, "kind"));
	copy(event->reason, sizeof(event->reason), text_of(object, "reason"));
	event->object = strdup(name);
	event->space = strdup(space ? space : "");
	event->message = strdup(message ? message : "");
	event->warning = type && !strcmp(type, "Warning");
	event->count = number_of(object, "count");
	event->time_ns = event_time(object);
	if (!event->object || !event->space || !event->message)
		return kube_event__free(event);
	return event;
}

static void read_object(const struct kube_rules *rules, const cJSON *object,
			struct kube_change *ret)
{
	copy_whole(ret->version, sizeof(ret->version),
		   text_of(get(object, "metadata"), "resourceVersion"));
	if (get(object, "involvedObject"))
		ret->event = read_event(object);
	else if (ret->type != KUBE_BOOKMARK)
		ret->pod = read_pod(rules, object);
}

int kube__list(const struct kube_rules *rules, const char *text, size_t len, kube_change_fn fn,
	       void *ctx, struct kube_list *ret)
{
	cJSON *list = cJSON_ParseWithLength(text, len);
	const cJSON *metadata = get(list, "metadata"), *items = get(list, "items"), *item;

	*ret = (struct kube_list){ 0 };
	/* Go writes an empty list as null where nobody made it; the kubelet does */
	if (!cJSON_IsArray(items) && !cJSON_IsNull(items)) {
		cJSON_Delete(list);
		return -EPROTO;
	}
	copy_whole(ret->version, sizeof(ret->version), text_of(metadata, "resourceVersion"));
	copy_whole(ret->next, sizeof(ret->next), text_of(metadata, "continue"));
	cJSON_ArrayForEach (item, items) {
		struct kube_change change = { .type = KUBE_PUT };

		read_object(rules, item, &change);
		ret->items++;
		fn(ctx, &change);
	}
	cJSON_Delete(list);
	return 0;
}

int kube__watch(const struct kube_rules *rules, const char *text, size_t len,
		struct kube_change *ret)
{
	static const char *const types[] = { "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR" };
	static const enum kube_change_type meanings[] = { KUBE_PUT, KUBE_PUT, KUBE_DELETED,
							  KUBE_BOOKMARK, KUBE_ERROR };
	cJSON *line = cJSON_ParseWithLength(text, len);
	const char *type = text_of(line, "type");
	const cJSON *object = get(line, "object");
	int err = -EPROTO;

	*ret = (struct kube_change){ 0 };
	for (int i = 0; type && cJSON_IsObject(object) && i < 5; i++) {
		if (strcmp(type, types[i]))
			continue;
		ret->type = meanings[i];
		err = 0;
	}
	if (!err && ret->type == KUBE_ERROR)
		ret->code = number_of(object, "code");
	else if (!err)
		read_object(rules, object, ret);
	cJSON_Delete(line);
	return err;
}

void kube__status(const char *text, size_t len, struct kube_status *ret)
{
	cJSON *status = cJSON_ParseWithLength(text, len);

	*ret = (struct kube_status){ .code = number_of(status, "code") };
	copy(ret->reason, sizeof(ret->reason), text_of(status, "reason"));
	copy(ret->message, sizeof(ret->message), text_of(status, "message"));
	copy_whole(ret->next, sizeof(ret->next), text_of(get(status, "metadata"), "continue"));
	cJSON_Delete(status);
}

int kube__lease(const char *text, size_t len, struct kube_lease *ret)
{
	cJSON *lease = cJSON_ParseWithLength(text, len);
	const cJSON *spec = get(lease, "spec");
	bool ok = cJSON_IsObject(spec);

	*ret = (struct kube_lease){
		.duration_s = number_of(spec, "leaseDurationSeconds"),
		.transitions = number_of(spec, "leaseTransitions"),
		.acquired_ns = kube__time(text_of(spec, "acquireTime")),
		.renewed_ns = kube__time(text_of(spec, "renewTime")),
	};
	copy_whole(ret->holder, sizeof(ret->holder), text_of(spec, "holderIdentity"));
	copy_whole(ret->version, sizeof(ret->version),
		   text_of(get(lease, "metadata"), "resourceVersion"));
	cJSON_Delete(lease);
	return ok ? 0 : -EPROTO;
}

/* A MicroTime: the API server takes no other form. */
static void add_time(cJSON *spec, const char *key, int64_t ns)
{
	time_t seconds = ns / NS;
	char text[64];
	struct tm tm;
	size_t len;

	gmtime_r(&seconds, &tm);
	len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, sizeof(text) - len, ".%06dZ", (int)(ns % NS / 1000));
	cJSON_AddStringToObject(spec, key, text);
}

char *kube__lease_text(const struct kube_lease *lease, const char *space, const char *name)
{
	cJSON *object = cJSON_CreateObject(), *metadata, *spec;
	char *text;

	cJSON_AddStringToObject(object, "apiVersion", "coordination.k8s.io/v1");
	cJSON_AddStringToObject(object, "kind", "Lease");
	metadata = cJSON_AddObjectToObject(object, "metadata");
	cJSON_AddStringToObject(metadata, "name", name);
	cJSON_AddStringToObject(metadata, "namespace", space);
	if (lease->version[0])
		cJSON_AddStringToObject(metadata, "resourceVersion", lease->version);
	spec = cJSON_AddObjectToObject(object, "spec");
	cJSON_AddStringToObject(spec, "holderIdentity", lease->holder);
	cJSON_AddNumberToObject(spec, "leaseDurationSeconds", lease->duration_s);
	cJSON_AddNumberToObject(spec, "leaseTransitions", lease->transitions);
	add_time(spec, "acquireTime", lease->acquired_ns);
	add_time(spec, "renewTime", lease->renewed_ns);
	text = cJSON_PrintUnformatted(object);
	cJSON_Delete(object);
	return text;
}
