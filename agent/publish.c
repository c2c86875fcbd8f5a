/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/publish.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* A snapshot with all that it points to. */
struct snapshot {
	struct stats stats;
	struct line_stats line;
	struct attribute_stats attribute;
	struct http2_stats http2;
	struct export_stats export;
	struct outbox_stats outbox;
};

#define ROUTES 6

struct publish {
	pthread_mutex_t lock;
	struct snapshot newest;
	uint64_t set_ns; /* CLOCK_BOOTTIME; 0: never */
	struct http_route routes[ROUTES];
};

static uint64_t boot_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* What `stats` points to lies in the snapshot itself. */
static void point_inside(struct snapshot *s)
{
	s->stats.pipeline.line = &s->line;
	s->stats.pipeline.attribute = &s->attribute;
	s->stats.pipeline.http2 = &s->http2;
	s->stats.shipper.outbox = &s->outbox;
	if (s->stats.shipper.export)
		s->stats.shipper.export = &s->export;
}

void publish__set(struct publish *publish, const struct stats *stats)
{
	struct snapshot *s = &publish->newest;

	pthread_mutex_lock(&publish->lock);
	s->stats = *stats;
	s->line = *stats->pipeline.line;
	s->attribute = *stats->pipeline.attribute;
	s->http2 = *stats->pipeline.http2;
	s->outbox = *stats->shipper.outbox;
	if (stats->shipper.export)
		s->export = *stats->shipper.export;
	point_inside(s);
	publish->set_ns = boot_ns();
	pthread_mutex_unlock(&publish->lock);
}

/* The newest, to write from without the lock; false: none yet, or the loop is stuck. */
static bool newest(struct publish *publish, struct snapshot *ret)
{
	bool alive;

	pthread_mutex_lock(&publish->lock);
	*ret = publish->newest;
	alive = publish->set_ns && boot_ns() - publish->set_ns < PUBLISH_STALE_NS;
	pthread_mutex_unlock(&publish->lock);
	point_inside(ret);
	return alive;
}

static unsigned not_alive(FILE *out)
{
	fputs("the agent's loop does not run\n", out);
	return 503;
}

static unsigned get_health(void *ctx, struct http_request *request, FILE *out)
{
	struct snapshot s;

	if (!newest(ctx, &s))
		return not_alive(out);
	fputs("ok\n", out);
	return 200;
}

static unsigned get_ready(void *ctx, struct http_request *request, FILE *out)
{
	const char *why;
	struct snapshot s;

	if (!newest(ctx, &s))
		return not_alive(out);
	why = stats__unready(&s.stats);
	fprintf(out, "%s\n", why ? why : "ok");
	return why ? 503 : 200;
}

static unsigned get_metrics(void *ctx, struct http_request *request, FILE *out)
{
	struct snapshot s;

	if (!newest(ctx, &s))
		return not_alive(out);
	stats__metrics(&s.stats, out);
	return 200;
}

static unsigned get_json(void *ctx, struct http_request *request, FILE *out)
{
	struct snapshot s;
	char *text;

	if (!newest(ctx, &s))
		return not_alive(out);
	text = stats__json(&s.stats);
	if (text)
		fputs(text, out);
	free(text);
	return text ? 200 : 500;
}

static unsigned get_text(void *ctx, struct http_request *request, FILE *out)
{
	struct snapshot s;

	if (!newest(ctx, &s))
		return not_alive(out);
	stats__text(&s.stats, out);
	return 200;
}

struct publish *publish__new(void)
{
	struct publish *publish = calloc(1, sizeof(*publish));
	const struct http_route routes[ROUTES] = {
		{ "/healthz", "text/plain", .open = true, .handle = get_health, .ctx = publish },
		{ "/readyz", "text/plain", .open = true, .handle = get_ready, .ctx = publish },
		{ "/metrics", "text/plain; version=0.0.4", .open = true, .handle = get_metrics,
		  .ctx = publish },
		{ "/api/v1/status", "application/json", .handle = get_json, .ctx = publish },
		{ "/status", "text/plain", .handle = get_text, .ctx = publish },
	};

	if (!publish)
		return NULL;
	pthread_mutex_init(&publish->lock, NULL);
	for (int i = 0; i < ROUTES; i++)
		publish->routes[i] = routes[i];
	return publish;
}

struct publish *publish__free(struct publish *publish)
{
	if (publish)
		pthread_mutex_destroy(&publish->lock);
	free(publish);
	return NULL;
}

const struct http_route *publish__routes(const struct publish *publish)
{
	return publish->routes;
}
