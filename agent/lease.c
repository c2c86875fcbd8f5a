/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "agent/kube.h"

#define NS 1000000000ULL
#define PATH_BYTES 1024
#define FAILURES_SAID 3 /* in a row, before the user hears of it */

struct lease {
	struct lease_config config;
	struct loop *loop;
	struct loop_timer *timer;
	struct kube_request *request;
	struct kube_lease seen; /* as the server has it */
	uint64_t seen_ns;       /* when it last differed; CLOCK_BOOTTIME */
	uint64_t renewed_ns;    /* by us */
	uint64_t vacant_ns;     /* lease__vacant_ns() */
	unsigned failures;
	bool leads;
	void (*released)(void *ctx);
	void *released_ctx;
};

static int64_t unix_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * (int64_t)NS + now.tv_nsec;
}

static void set_leads(struct lease *lease, bool leads)
{
	if (lease->leads == leads)
		return;
	lease->leads = leads;
	lease->config.changed(lease->config.ctx, leads);
}

static void later(struct lease *lease)
{
	uint64_t now = loop__now(lease->loop), duration = lease->config.duration_s * NS;

	if (lease->leads && now > lease->renewed_ns + duration * 2 / 3)
		set_leads(lease, false);
	loop_timer__set(lease->timer, now + duration / 6);
}

static void failed(struct lease *lease, const struct kube_answer *answer)
{
	struct kube_status status;
	char line[512];

	kube__status(answer->data, answer->len, &status);
	snprintf(line, sizeof(line), "lease %s/%s: %ld %s%s", lease->config.space,
		 lease->config.name, answer->status, status.message, answer->error);
	if (++lease->failures == FAILURES_SAID)
		lease->config.say(lease->config.ctx, line);
	later(lease);
}

static bool see(struct lease *lease, const struct kube_answer *answer)
{
	struct kube_lease now;

	if (kube__lease(answer->data, answer->len, &now))
		return false;
	if (strcmp(now.version, lease->seen.version))
		lease->seen_ns = loop__now(lease->loop);
	lease->seen = now;
	lease->failures = 0;
	return true;
}

static void on_written(void *ctx, const struct kube_answer *answer)
{
	struct lease *lease = ctx;

	lease->request = NULL;
	if (lease->released) {
		lease->released(lease->released_ctx);
		return;
	}
	if (answer->status == 409) { /* another was faster */
		set_leads(lease, false);
		later(lease);
		return;
	}
	if ((answer->status != 200 && answer->status != 201) || !see(lease, answer)) {
		failed(lease, answer);
		return;
	}
	lease->renewed_ns = loop__now(lease->loop);
	set_leads(lease, true);
	later(lease);
}

/* "…/leases" or, of the one that is there, "…/leases/NAME". */
static void path_of(const struct lease *lease, bool whole, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "/apis/coordination.k8s.io/v1/namespaces/%s/leases%s%s",
		 lease->config.space, whole ? "/" : "", whole ? lease->config.name : "");
}

static void write_lease(struct lease *lease, const char *holder)
{
	struct kube_lease next = lease->seen;
	struct kube_request_config request = { .done = on_written, .ctx = lease };
	char path[PATH_BYTES], *text;

	snprintf(next.holder, sizeof(next.holder), "%s", holder);
	next.duration_s = *holder ? lease->config.duration_s : 1;
	next.renewed_ns = unix_ns();
	if (strcmp(lease->seen.holder, holder)) {
		next.acquired_ns = next.renewed_ns;
		next.transitions += lease->seen.version[0] != 0;
	}
	text = kube__lease_text(&next, lease->config.space, lease->config.name);
	path_of(lease, next.version[0], path);
	request.method = next.version[0] ? "PUT" : "POST";
	request.path = path;
	request.body = text;
	lease->request = text ? kube_http__send(lease->config.http, &request) : NULL;
	free(text);
	if (!lease->request)
		later(lease);
}

static void on_read(void *ctx, const struct kube_answer *answer)
{
	struct lease *lease = ctx;
	uint64_t now = loop__now(lease->loop);
	bool ours, expired;

	lease->request = NULL;
	if (answer->status == 404) {
		lease->seen = (struct kube_lease){ 0 };
		lease->vacant_ns = now;
		write_lease(lease, lease->config.holder);
		return;
	}
	if (answer->status != 200 || !see(lease, answer)) {
		failed(lease, answer);
		return;
	}
	ours = !strcmp(lease->seen.holder, lease->config.holder);
	expired = now >= lease->seen_ns + lease->seen.duration_s * NS;
	if (!ours) {
		set_leads(lease, false);
		lease->vacant_ns = lease->seen_ns;
	}
	if (ours || expired || !lease->seen.holder[0])
		write_lease(lease, lease->config.holder);
	else
		later(lease);
}

static void on_timer(void *ctx, uint64_t now_ns)
{
	struct lease *lease = ctx;
	char path[PATH_BYTES];
	struct kube_request_config request = {
		.method = "GET", .path = path, .done = on_read, .ctx = lease
	};

	if (lease->request)
		return;
	path_of(lease, true, path);
	lease->request = kube_http__send(lease->config.http, &request);
	/* an answer that never comes must not keep us leading */
	later(lease);
}

struct lease *lease__new(struct loop *loop, const struct lease_config *config)
{
	struct lease *lease = calloc(1, sizeof(*lease));

	if (!lease)
		return NULL;
	lease->config = *config;
	lease->loop = loop;
	lease->timer = loop_timer__new(loop, on_timer, lease);
	if (!lease->timer)
		return lease__free(lease);
	loop_timer__set(lease->timer, loop__now(loop));
	return lease;
}

struct lease *lease__free(struct lease *lease)
{
	if (!lease)
		return NULL;
	kube_request__cancel(lease->request);
	loop_timer__free(lease->timer);
	free(lease);
	return NULL;
}

bool lease__leads(const struct lease *lease)
{
	return lease->leads;
}

uint64_t lease__vacant_ns(const struct lease *lease)
{
	return lease->vacant_ns;
}

void lease__release(struct lease *lease, void (*done)(void *ctx), void *ctx)
{
	if (!lease->leads) {
		done(ctx);
		return;
	}
	lease->request = kube_request__cancel(lease->request);
	loop_timer__set(lease->timer, UINT64_MAX);
	lease->released = done;
	lease->released_ctx = ctx;
	write_lease(lease, "");
	if (!lease->request)
		done(ctx);
}
