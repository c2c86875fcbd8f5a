/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include "agent/api_tail.h"
#include "agent/api_download.h"
#include "agent/format.h"
#include "agent/http_guard.h"
#include "agent/page.h"
#include "agent/search.h"
#include "agent/when.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 10000
#define BUCKETS_DEFAULT 60
#define PATIENCE_NS 1500000000ULL /* a search answers by then, with what it has */
#define EXTRA_ROUTES 16

#define JSON "application/json"

struct api {
	char *state_dir;
	struct live *live;
	const char *token;
	struct http_route routes[PAGE_FILES_MAX + EXTRA_ROUTES + 8];
};

/* ---- parameters */

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static unsigned fail(FILE *out, unsigned status, const char *message)
{
	fputs("{\"error\":\"", out);
	format__escaped(out, str_from(message));
	fputs("\"}\n", out);
	return status;
}

static unsigned fail_search(FILE *out, int err)
{
	return fail(out, err == -ENOENT ? 404 : 503,
		    err == -ENOENT    ? "there is no history here yet"
		    : err == -EBADMSG ? "the history's file is damaged"
				      : strerror(-err));
}

static unsigned read_query(struct http_request *request, FILE *out, struct query *ret)
{
	const char *text = http__parameter(request, "q");
	struct query_problem problem;
	char line[700];

	if (!query__parse(str_from(text), ret, &problem))
		return 0;
	query__explain(str_from(text), &problem, line, sizeof(line));
	fputs("{\"error\":\"", out);
	format__escaped(out, str_from(line));
	fputs("\",\"what\":\"", out);
	format__escaped(out, str_from(problem.what));
	fputs("\",\"right\":\"", out);
	format__escaped(out, str_from(problem.right));
	fprintf(out, "\",\"at\":%zu,\"length\":%zu}\n", problem.at, problem.len);
	return 400;
}

static int read_time(struct http_request *request, const char *name, uint64_t *ret)
{
	const char *text = http__parameter(request, name);

	return text && *text ? when__parse(text, clock_ns(CLOCK_REALTIME), ret) : 0;
}

static unsigned read_range(struct http_request *request, FILE *out, struct search_range *ret)
{
	*ret = (struct search_range){ .until_ns = UINT64_MAX };
	if (read_time(request, "since", &ret->since_ns) ||
	    read_time(request, "until", &ret->until_ns))
		return fail(out, 400, "no time: give " WHEN_RIGHT);
	return 0;
}

/* 0, or a status. */
static unsigned read_count(struct http_request *request, FILE *out, const char *name, uint64_t max,
			   uint64_t *value)
{
	const char *text = http__parameter(request, name);
	char *end, message[80];

	if (!text || !*text)
		return 0;
	*value = strtoull(text, &end, 10);
	if (!*end && *value >= 1 && *value <= max && *text != '-')
		return 0;
	snprintf(message, sizeof(message), "%s: give a number from 1 to %" PRIu64, name, max);
	return fail(out, 400, message);
}

/* ---- /api/v1/logs */

struct page_of_logs {
	FILE *out;
	uint64_t count;
	struct search_place first;
};

static bool put_log(void *ctx, const struct record *record, int64_t seq, uint32_t missing)
{
	const struct format_place place = { seq, missing };
	struct page_of_logs *logs = ctx;

	if (logs->count++)
		fputs(",\n", logs->out);
	else
		logs->first = (struct search_place){ record->time_ns, seq };
	format__json(logs->out, record, &place);
	return true;
}

/* Where the page before this one ends: "TIME-SEQ-END", opaque to who gives it back. */
static unsigned read_cursor(struct http_request *request, FILE *out, struct search_range *range,
			    struct search_place *place)
{
	const char *text = http__parameter(request, "before");
	int end = 0;

	if (!text || !*text)
		return 0;
	if (sscanf(text, "%" SCNu64 "-%" SCNd64 "-%" SCNd64 "%n", &place->time_ns, &place->seq,
		   &range->end, &end) != 3 ||
	    text[end])
		return fail(out, 400, "before: give what `next` said");
	if (place->time_ns)
		range->before = place;
	return 0;
}

static void put_next(FILE *out, const struct page_of_logs *logs, const struct search_range *range,
		     uint64_t limit, const struct search_progress *progress)
{
	struct search_place place = range->before ? *range->before : (struct search_place){ 0, 0 };

	if (logs->count == limit)
		place = logs->first;
	else if (!progress->partial) {
		fputs("null", out);
		return;
	}
	fprintf(out, "\"%" PRIu64 "-%" PRId64 "-%" PRId64 "\"", place.time_ns, place.seq,
		logs->count == limit ? range->end : progress->end);
}

static unsigned get_logs(void *ctx, struct http_request *request, FILE *out)
{
	struct api *api = ctx;
	struct page_of_logs logs = { .out = out };
	struct search_progress progress = { .deadline_ns =
						    clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS };
	struct search_place place;
	struct search_range range;
	uint64_t limit = LIMIT_DEFAULT;
	const char *format = http__parameter(request, "format");
	struct search *search;
	struct query query;
	unsigned status;
	int err;

	status = read_query(request, out, &query);
	status = status ? status : read_range(request, out, &range);
	if (!status && format && strcmp(format, "json") != 0)
		return api_download(api->state_dir, request, out, &query, &range, format);
	status = status ? status : read_cursor(request, out, &range, &place);
	status = status ? status : read_count(request, out, "limit", LIMIT_MAX, &limit);
	http__set_header(request, "Content-Type", JSON);
	if (status)
		return status;
	search = search__open(api->state_dir, &err);
	if (!search)
		return fail_search(out, err);
	fputs("{\"logs\":[", out);
	err = search__newest(search, &query, &range, limit, &progress, put_log, &logs);
	fputs("],\"next\":", out);
	put_next(out, &logs, &range, limit, &progress);
	fprintf(out, ",\"partial\":%s,\"reached\":\"%" PRIu64 "\"}\n",
		progress.partial ? "true" : "false", progress.reached_ns);
	search__close(search);
	return err ? 500 : 200;
}

/* ---- /api/v1/histogram */

static void put_counts(FILE *out, uint64_t (*counts)[CHUNK_LEVELS], uint64_t buckets)
{
	for (uint64_t b = 0; b < buckets; b++) {
		fputs(b ? ",[" : "[", out);
		for (int level = 0; level < CHUNK_LEVELS; level++)
			fprintf(out, "%s%" PRIu64, level ? "," : "", counts[b][level]);
		putc(']', out);
	}
}

static unsigned get_histogram(void *ctx, struct http_request *request, FILE *out)
{
	struct api *api = ctx;
	uint64_t counts[SEARCH_BUCKETS_MAX][CHUNK_LEVELS], buckets = BUCKETS_DEFAULT, bucket, from;
	struct search_range range;
	struct search *search;
	struct query query;
	unsigned status;
	int err;

	status = read_query(request, out, &query);
	status = status ? status : read_range(request, out, &range);
	status =
		status ? status : read_count(request, out, "buckets", SEARCH_BUCKETS_MAX, &buckets);
	if (status)
		return status;
	search = search__open(api->state_dir, &err);
	if (!search)
		return fail_search(out, err);
	if (range.until_ns == UINT64_MAX)
		range.until_ns = clock_ns(CLOCK_REALTIME);
	if (!range.since_ns)
		range.since_ns = search__oldest(search);
	if (range.since_ns >= range.until_ns)
		range.since_ns = range.until_ns - 1;
	bucket = (range.until_ns - range.since_ns + buckets - 1) / buckets;
	err = search__histogram(search, &query, range.since_ns, bucket, (unsigned)buckets,
				clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS, counts, &from);
	search__close(search);
	if (err)
		return fail_search(out, err);
	fprintf(out,
		"{\"since\":\"%" PRIu64 "\",\"bucket\":\"%" PRIu64 "\",\"from\":\"%" PRIu64
		"\",\"levels\":[\"\",\"DEBUG\",\"INFO\",\"WARN\",\"ERROR\",\"FATAL\"],\"counts\":[",
		range.since_ns, bucket, from);
	put_counts(out, counts, buckets);
	fputs("]}\n", out);
	return 200;
}

/* ---- /api/v1/sources */

struct sources {
	FILE *out;
	bool any;
};

static void put_text(FILE *out, const char *name, struct str value)
{
	if (!value.len)
		return;
	fprintf(out, ",\"%s\":\"", name);
	format__escaped(out, value);
	putc('"', out);
}

static void put_source(void *ctx, const struct store_identity *identity)
{
	struct sources *sources = ctx;
	const struct replica *r = &identity->replica;
	FILE *out = sources->out;

	fprintf(out,
		"%s{\"records\":%" PRIu64 ",\"first\":\"%" PRIu64 "\",\"last\":\"%" PRIu64 "\"",
		sources->any ? ",\n" : "", identity->records, identity->first_ns,
		identity->last_ns);
	put_text(out, "replica", r->replica);
	put_text(out, "model_id", r->model_id);
	put_text(out, "model_version_id", r->model_version_id);
	put_text(out, "environment", r->environment);
	put_text(out, "chainlet_id", r->chainlet_id);
	put_text(out, "training_job_id", r->training_job_id);
	putc('}', out);
	sources->any = true;
}

static unsigned get_sources(void *ctx, struct http_request *request, FILE *out)
{
	struct api *api = ctx;
	struct sources sources = { .out = out };
	int err;
	struct search *search = search__open(api->state_dir, &err);

	if (!search)
		return fail_search(out, err);
	fprintf(out, "{\"now\":\"%" PRIu64 "\",\"oldest\":\"%" PRIu64 "\",\"sources\":[",
		clock_ns(CLOCK_REALTIME), search__oldest(search));
	err = scan__identities(search__scan(search), put_source, &sources);
	fputs("]}\n", out);
	search__close(search);
	return err ? 500 : 200;
}

/* ---- the others */

static unsigned get_top(void *ctx, struct http_request *request, FILE *out)
{
	struct api *api = ctx;

	live__json(api->live, out);
	return 200;
}

static unsigned get_tail(void *ctx, struct http_request *request, FILE *out)
{
	struct api *api = ctx;
	struct query query;
	unsigned status = read_query(request, out, &query);

	if (!status)
		return api_tail(api->state_dir, request, out, &query);
	http__set_header(request, "Content-Type", JSON);
	return status;
}

/* The page trades the token for a cookie, which EventSource and downloads send by themselves. */
static unsigned post_session(void *ctx, struct http_request *request, FILE *out)
{
	struct api *api = ctx;
	struct str given = http__body(request);
	char cookie[150];

	if (!api->token)
		return 204;
	if (!http_guard__equal(api->token, given.data, given.len))
		return fail(out, 401, "the token is not right");
	if (snprintf(cookie, sizeof(cookie), HTTP_COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict",
		     api->token) >= (int)sizeof(cookie))
		return fail(out, 500, "the token is too long for a cookie");
	http__set_header(request, "Set-Cookie", cookie);
	return 204;
}

static unsigned get_page(void *ctx, struct http_request *request, FILE *out)
{
	const struct page_file *file = ctx;

	fwrite(file->data, 1, *file->len, out);
	return 200;
}

struct api *api__new(const char *state_dir, struct live *live, const char *token)
{
	struct api *api = calloc(1, sizeof(*api));

	if (!api)
		return NULL;
	api->live = live;
	api->token = token;
	api->state_dir = strdup(state_dir);
	return api->state_dir ? api : api__free(api);
}

struct api *api__free(struct api *api)
{
	if (!api)
		return NULL;
	free(api->state_dir);
	free(api);
	return NULL;
}

const struct http_route *api__routes(struct api *api, const struct http_route *extra)
{
	const struct http_route own[] = {
		{ "/api/v1/logs", NULL, false, false, get_logs, api },
		{ "/api/v1/tail", NULL, false, false, get_tail, api },
		{ "/api/v1/histogram", JSON, false, false, get_histogram, api },
		{ "/api/v1/sources", JSON, false, false, get_sources, api },
		{ "/api/v1/session", JSON, true, true, post_session, api },
		{ "/api/v1/top", JSON, false, false, get_top, api },
	};
	size_t count = sizeof(own) / sizeof(own[0]);

	memcpy(api->routes, own, sizeof(own));
	if (!api->live)
		count--;
	for (const struct page_file *file = page_files; file->path; file++)
		api->routes[count++] =
			(struct http_route){ file->path, file->type, true,
					     false,      get_page,   (void *)(uintptr_t)file };
	for (int i = 0; extra && extra[i].path && i < EXTRA_ROUTES; i++)
		api->routes[count++] = extra[i];
	api->routes[count].path = NULL;
	return api->routes;
}
