/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/deploy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TEXT_MAX 512

struct telling {
	const char *who; /* "replica ng7v7" */
	deploy_fn fn;
	void *ctx;
};

static void tell(const struct telling *t, enum severity severity, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void tell(const struct telling *t, enum severity severity, const char *format, ...)
{
	char text[TEXT_MAX];
	size_t len = snprintf(text, sizeof(text), "%s ", t->who);
	va_list args;

	va_start(args, format);
	vsnprintf(text + len, sizeof(text) - len, format, args);
	va_end(args);
	t->fn(t->ctx, severity, text);
}

static const struct pod_container *find(const struct pod *pod, const char *name)
{
	for (unsigned i = 0; pod && i < pod->count; i++)
		if (!strcmp(pod->containers[i].name, name))
			return &pod->containers[i];
	return NULL;
}

static bool is_sidecar(const char *const *sidecars, const char *name)
{
	for (; sidecars && *sidecars; sidecars++)
		if (!strcmp(*sidecars, name))
			return true;
	return false;
}

static void tell_exit(const struct telling *t, const struct pod_container *c, int code,
		      const char *reason)
{
	if (!strcmp(reason, "OOMKilled"))
		tell(t, SEVERITY_ERROR, "out of memory: container %s was killed (exit code %d)",
		     c->name, code);
	else if (code)
		tell(t, SEVERITY_ERROR, "crashed: container %s ended with exit code %d", c->name,
		     code);
	else
		tell(t, SEVERITY_INFO, "completed: container %s ended with exit code 0", c->name);
}

/* Waiting is the ordinary beginning; these reasons are not. */
static void tell_waiting(const struct telling *t, const struct pod_container *c)
{
	if (!strcmp(c->reason, "CrashLoopBackOff"))
		tell(t, SEVERITY_WARN, "restarting: container %s waits after %u restarts", c->name,
		     c->restarts);
	else if (strcmp(c->reason, "ContainerCreating") && strcmp(c->reason, "PodInitializing"))
		tell(t, SEVERITY_ERROR, "cannot start: container %s: %s", c->name, c->reason);
}

static void compare(const struct telling *t, const struct pod_container *before,
		    const struct pod_container *now)
{
	static const struct pod_container none = { .state = POD_WAITING };
	bool restarted, ended;

	if (!before)
		before = &none;
	restarted = now->restarts > before->restarts;
	ended = before->state == POD_TERMINATED;
	/* between two looks it may have ended and begun again */
	if (restarted && !ended)
		tell_exit(t, now, now->last_exit_code, now->last_reason);
	if (restarted)
		tell(t, SEVERITY_WARN, "restarting: container %s, restart %u", now->name,
		     now->restarts);
	if (now->state == POD_TERMINATED && (!ended || restarted))
		tell_exit(t, now, now->exit_code, now->reason);
	if (now->state == POD_RUNNING && (before->state != POD_RUNNING || restarted))
		tell(t, SEVERITY_INFO, "started: container %s", now->name);
	if (now->state == POD_WAITING && now->reason[0] && strcmp(now->reason, before->reason))
		tell_waiting(t, now);
}

static bool differs(struct str a, struct str b)
{
	return !str_equal(a, b);
}

static void tell_promotion(const struct telling *t, struct str was, struct str is)
{
	if (differs(was, is) && is.len)
		tell(t, SEVERITY_INFO, "promoted to %.*s%s%.*s", (int)is.len, is.data,
		     was.len ? " from " : "", (int)was.len, was.len ? was.data : "");
	else if (differs(was, is))
		tell(t, SEVERITY_INFO, "no longer in %.*s", (int)was.len, was.data);
}

static void tell_pod(const struct telling *t, const struct pod *before, const struct pod *now)
{
	if (now->scheduled && (!before || !before->scheduled))
		tell(t, SEVERITY_INFO, "scheduled");
	if (now->phase == POD_FAILED && (!before || before->phase != POD_FAILED) && now->reason[0])
		tell(t, SEVERITY_ERROR, "failed: %s", now->reason);
	if (now->deleting && (!before || !before->deleting))
		tell(t, SEVERITY_INFO, "terminating");
	if (before)
		tell_promotion(t, pod__replica(before).environment, pod__replica(now).environment);
}

static void tell_ready(const struct telling *t, const struct pod *before, const struct pod *now)
{
	if (now->ready && (!before || !before->ready))
		tell(t, SEVERITY_INFO, "ready");
	else if (!now->ready && before && before->ready && !now->deleting &&
		 now->phase == POD_ACTIVE)
		tell(t, SEVERITY_WARN, "unhealthy: not ready");
}

void deploy__pod(const struct pod *before, const struct pod *now, const char *const *sidecars,
		 deploy_fn fn, void *ctx)
{
	const struct pod *pod = now ? now : before;
	struct str replica = pod__replica(pod).replica;
	char who[POD_NAME_MAX + 300];
	struct telling t = { .who = who, .fn = fn, .ctx = ctx };

	if (!pod->selected)
		return;
	snprintf(who, sizeof(who), "replica %.*s", replica.len ? (int)replica.len : 255,
		 replica.len ? replica.data : pod->name);
	if (!now) {
		tell(&t, SEVERITY_INFO, "terminated");
		return;
	}
	tell_pod(&t, before, now);
	for (unsigned i = 0; i < now->count; i++)
		if (!now->containers[i].init && !is_sidecar(sidecars, now->containers[i].name))
			compare(&t, find(before, now->containers[i].name), &now->containers[i]);
	tell_ready(&t, before, now);
}

void deploy__promoted(const struct replica *now, struct str before, deploy_fn fn, void *ctx)
{
	struct str name = now->replica.len ? now->replica : now->model_version_id;
	char who[IDENTITY_TEXT_MAX + 16];
	struct telling t = { .who = who, .fn = fn, .ctx = ctx };

	snprintf(who, sizeof(who), "replica %.*s", (int)name.len, name.len ? name.data : "");
	tell_promotion(&t, before, now->environment);
}

void deploy__record(const struct replica *replica, enum severity severity, const char *text,
		    record_fn sink, void *ctx)
{
	struct record record = {
		.scope = SCOPE_DEPLOY,
		.severity = severity,
		.body = str_from(text),
		.message = str_from(text),
		.replica = replica,
	};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	record.time_ns = record.observed_ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
	sink(ctx, &record);
}
