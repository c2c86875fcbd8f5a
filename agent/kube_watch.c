/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kube_watch.h"

#include <ctype.h>
#include <errno.h>
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/export.h"

#define PATH_MAX_BYTES (4096 + 3 * KUBE_CONTINUE_MAX)
#define FALLBACK_AFTER 2           /* failures in a row */
#define WATCH_MIN_NS 1000000000ULL /* one that ends sooner and brought nothing has failed */

struct kube_watch {
	struct kube_watch_config config;
	struct loop *loop;
	struct loop_timer *timer;    /* the next list or watch */
	struct loop_timer *fallback; /* the next look at the kubelet */
	struct kube_request *request, *kubelet_request;
	char next[KUBE_CONTINUE_MAX];   /* the list goes on there; "": a new one begins */
	char version[KUBE_VERSION_MAX]; /* watch from there; "": list first */
	uint64_t begun_ns;              /* the watch */
	uint64_t changed;               /* stats.changes then */
	bool forgotten;                 /* 410 */
	unsigned failures;              /* in a row */
	struct kube_watch_stats stats;
};

static void begin(struct kube_watch *watch);

static void heard(struct kube_watch *watch)
{
	watch->stats.heard_ns = loop__now(watch->loop);
}

static void succeeded(struct kube_watch *watch)
{
	heard(watch);
	watch->failures = 0;
	loop_timer__set(watch->fallback, UINT64_MAX);
	watch->kubelet_request = kube_request__cancel(watch->kubelet_request);
	if (watch->stats.failing)
		watch->config.say(watch->config.ctx, "the API server answers again");
	watch->stats.failing = false;
}

static void failed(struct kube_watch *watch, const struct kube_answer *answer)
{
	uint64_t now = loop__now(watch->loop), wait_ns = answer->retry_after_ns;
	struct kube_status status;
	char line[512];

	if (!wait_ns)
		wait_ns = export__backoff_ns(watch->failures, randombytes_random());
	kube__status(answer->data, answer->len, &status);
	snprintf(line, sizeof(line), "the API server does not give %s: %ld %s%s",
		 watch->config.resource, answer->status, status.message, answer->error);
	watch->stats.failures++;
	watch->failures += watch->failures < 64;
	/* a single one is nothing: servers restart, tokens rotate, connections are cut */
	if (watch->failures == FALLBACK_AFTER) {
		watch->stats.failing = true;
		watch->config.say(watch->config.ctx, line);
		if (watch->config.kubelet)
			loop_timer__set(watch->fallback, now);
	}
	loop_timer__set(watch->timer, now + wait_ns);
}

static void on_line(void *ctx, const char *text, size_t len)
{
	struct kube_watch *watch = ctx;
	struct kube_change change;

	heard(watch);
	if (kube__watch(watch->config.rules, text, len, &change))
		return;
	if (change.type == KUBE_ERROR) {
		watch->forgotten = change.code == 410;
		return;
	}
	if (change.version[0])
		memcpy(watch->version, change.version, sizeof(watch->version));
	watch->stats.changes++;
	if (change.type == KUBE_BOOKMARK)
		watch->stats.bookmarks++;
	else
		watch->config.change(watch->config.ctx, &change);
}

/* The stream's own end is no failure; a short one that said nothing is, or it would spin. */
static void on_watched(void *ctx, const struct kube_answer *answer)
{
	struct kube_watch *watch = ctx;
	bool brief = loop__now(watch->loop) - watch->begun_ns < WATCH_MIN_NS &&
		     watch->stats.changes == watch->changed;

	watch->request = NULL;
	if (answer->status == 410 || watch->forgotten) {
		watch->version[0] = 0;
		watch->stats.resyncs++;
	}
	watch->forgotten = false;
	if (answer->status != 200 || brief) {
		failed(watch, answer);
		return;
	}
	succeeded(watch);
	begin(watch);
}

static void on_item(void *ctx, struct kube_change *change)
{
	struct kube_watch *watch = ctx;

	watch->config.change(watch->config.ctx, change);
}

/* One page. A continue token that is too old comes with another, that goes on "inconsistently":
 * what is missed between is caught by the watch, or by the next list. */
static void on_listed(void *ctx, const struct kube_answer *answer)
{
	struct kube_watch *watch = ctx;
	struct kube_status status;
	struct kube_list list;

	watch->request = NULL;
	if (answer->status == 410 && watch->next[0]) {
		kube__status(answer->data, answer->len, &status);
		memcpy(watch->next, status.next, sizeof(watch->next));
		watch->stats.resyncs++;
		failed(watch, answer);
		return;
	}
	if (!watch->next[0])
		watch->config.list_begin(watch->config.ctx);
	if (answer->status != 200 || answer->error[0] ||
	    kube__list(watch->config.rules, answer->data, answer->len, on_item, watch, &list)) {
		watch->next[0] = 0;
		failed(watch, answer);
		return;
	}
	memcpy(watch->next, list.next, sizeof(watch->next));
	if (!list.next[0]) {
		memcpy(watch->version, list.version, sizeof(watch->version));
		watch->config.list_end(watch->config.ctx);
		watch->stats.synced = true;
		watch->stats.lists++;
		malloc_trim(0); /* the page's tree was larger than all that is kept */
	}
	succeeded(watch);
	begin(watch);
}

static void escape(char *ret, size_t size, const char *text)
{
	size_t len = 0;

	for (; *text && len + 4 < size; text++) {
		if (isalnum((unsigned char)*text) || strchr("-_.~", *text))
			ret[len++] = *text;
		else
			len += snprintf(ret + len, size - len, "%%%02X", (unsigned char)*text);
	}
	ret[len] = 0;
}

static void begin(struct kube_watch *watch)
{
	const struct kube_watch_config *config = &watch->config;
	char *path = malloc(PATH_MAX_BYTES), next[3 * KUBE_CONTINUE_MAX];
	struct kube_request_config request = { .method = "GET", .path = path, .ctx = watch };
	const char *and = config->query[0] ? "&" : "";

	if (path && watch->version[0] && !watch->next[0]) {
		snprintf(path, PATH_MAX_BYTES,
			 "%s?watch=true&allowWatchBookmarks=true&resourceVersion=%s"
			 "&timeoutSeconds=%d%s%s",
			 config->resource, watch->version, KUBE_WATCH_S, and, config->query);
		request.line = on_line;
		request.done = on_watched;
		watch->stats.watches++;
		watch->begun_ns = loop__now(watch->loop);
		watch->changed = watch->stats.changes;
	} else if (path) {
		escape(next, sizeof(next), watch->next);
		snprintf(path, PATH_MAX_BYTES, "%s?limit=%d%s%s%s%s", config->resource, KUBE_PAGE,
			 and, config->query, next[0] ? "&continue=" : "", next);
		request.done = on_listed;
	}
	watch->request = path ? kube_http__send(config->api, &request) : NULL;
	free(path);
	if (!watch->request) /* out of memory: later, perhaps */
		failed(watch, &(struct kube_answer){ .data = "", .error = "out of memory" });
}

static void on_timer(void *ctx, uint64_t now_ns)
{
	begin(ctx);
}

static void on_kubelet(void *ctx, const struct kube_answer *answer)
{
	struct kube_watch *watch = ctx;
	struct kube_list list;

	watch->kubelet_request = NULL;
	loop_timer__set(watch->fallback, loop__now(watch->loop) + KUBE_FALLBACK_NS);
	if (answer->status != 200 || answer->error[0])
		return;
	watch->config.list_begin(watch->config.ctx);
	if (kube__list(watch->config.rules, answer->data, answer->len, on_item, watch, &list))
		return;
	watch->config.list_end(watch->config.ctx);
	watch->stats.synced = true;
	watch->stats.fallbacks++;
	watch->version[0] = 0; /* the API server's version of what was read is not known */
	heard(watch);
	malloc_trim(0);
}

static void on_fallback(void *ctx, uint64_t now_ns)
{
	struct kube_watch *watch = ctx;
	struct kube_request_config request = {
		.method = "GET", .path = "/pods", .done = on_kubelet, .ctx = watch
	};

	if (!watch->kubelet_request)
		watch->kubelet_request = kube_http__send(watch->config.kubelet, &request);
}

struct kube_watch *kube_watch__new(struct loop *loop, const struct kube_watch_config *config)
{
	struct kube_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->config = *config;
	watch->loop = loop;
	watch->timer = loop_timer__new(loop, on_timer, watch);
	watch->fallback = loop_timer__new(loop, on_fallback, watch);
	if (!watch->timer || !watch->fallback)
		return kube_watch__free(watch);
	begin(watch);
	return watch;
}

struct kube_watch *kube_watch__free(struct kube_watch *watch)
{
	if (!watch)
		return NULL;
	kube_request__cancel(watch->request);
	kube_request__cancel(watch->kubelet_request);
	loop_timer__free(watch->timer);
	loop_timer__free(watch->fallback);
	free(watch);
	return NULL;
}

const struct kube_watch_stats *kube_watch__stats(const struct kube_watch *watch)
{
	return &watch->stats;
}
