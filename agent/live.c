/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/live.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include "agent/format.h"
#include "agent/roster.h"

#define GRACE_NS 3000000000ULL /* how long an answered request still shows */

struct counts {
	uint64_t lines, errors, attributed;
};

/* Of a replica, in the roster. */
struct activity {
	struct counts counts;
	uint64_t last_ns; /* UNIX time of its last line */
};

struct open_request {
	uint64_t seq;
	char id[RT_ID_MAX + 1];
	uint64_t begin_ns, end_ns; /* CLOCK_BOOTTIME; end 0: in flight */
	uint32_t tgid, tid;
	struct counts counts;
	unsigned evidence; /* the last one */
	char replica[64];
	UT_hash_handle hh, by_id;
};

struct live {
	pthread_mutex_t mutex;
	struct roster *roster;
	struct open_request *requests; /* in the order of their coming */
	struct open_request *ids;
	uint64_t lost;
};

static uint64_t boot_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

struct live *live__new(void)
{
	struct live *live = calloc(1, sizeof(*live));

	if (!live)
		return NULL;
	pthread_mutex_init(&live->mutex, NULL);
	live->roster = roster__new(0, LIVE_REPLICAS_MAX, sizeof(struct activity));
	return live->roster ? live : live__free(live);
}

static void forget_request(struct live *live, struct open_request *request)
{
	struct open_request *same;

	HASH_DELETE(hh, live->requests, request);
	/* a later request may have taken the id over */
	HASH_FIND(by_id, live->ids, request->id, strlen(request->id), same);
	if (same == request)
		HASH_DELETE(by_id, live->ids, request);
	free(request);
}

struct live *live__free(struct live *live)
{
	if (!live)
		return NULL;
	while (live->requests)
		forget_request(live, live->requests);
	roster__free(live->roster);
	pthread_mutex_destroy(&live->mutex);
	free(live);
	return NULL;
}

static void count(struct counts *counts, const struct record *record)
{
	counts->lines++;
	counts->errors += record->severity >= SEVERITY_ERROR;
	counts->attributed += record->request_id.len > 0;
}

static void count_request(struct live *live, const struct record *record)
{
	struct open_request *request;

	if (!record->request_id.len)
		return;
	HASH_FIND(by_id, live->ids, record->request_id.data, record->request_id.len, request);
	if (!request)
		return;
	count(&request->counts, record);
	request->evidence = record->evidence;
	snprintf(request->replica, sizeof(request->replica), "%.*s",
		 (int)record->replica->replica.len,
		 record->replica->replica.len ? record->replica->replica.data : "");
}

void live__record(void *ctx, const struct record *record)
{
	struct live *live = ctx;
	const struct roster_member *member;
	struct activity *activity;

	pthread_mutex_lock(&live->mutex);
	member = roster__get(live->roster, record->replica);
	if (member) {
		activity = roster__extra(member);
		count(&activity->counts, record);
		activity->last_ns = record->time_ns;
	}
	count_request(live, record);
	pthread_mutex_unlock(&live->mutex);
}

/* Those that were answered long enough ago go, from the oldest on. */
static void sweep(struct live *live, uint64_t now_ns)
{
	struct open_request *request = live->requests;

	while (request && (HASH_CNT(hh, live->requests) >= LIVE_REQUESTS_MAX ||
			   (request->end_ns && request->end_ns + GRACE_NS < now_ns))) {
		struct open_request *next = request->hh.next;

		forget_request(live, request);
		request = next;
	}
}

static void begin(struct live *live, const struct request *from)
{
	struct open_request *request, *same;

	sweep(live, from->begin_ns);
	HASH_FIND(hh, live->requests, &from->seq, sizeof(from->seq), request);
	if (request || !from->id_len)
		return;
	request = calloc(1, sizeof(*request));
	if (!request)
		return;
	request->seq = from->seq;
	request->begin_ns = from->begin_ns;
	request->end_ns = from->end_ns;
	request->tgid = from->tgid;
	request->tid = from->tid;
	memcpy(request->id, from->id, RT_ID_MAX);
	HASH_ADD(hh, live->requests, seq, sizeof(request->seq), request);
	HASH_FIND(by_id, live->ids, request->id, strlen(request->id), same);
	if (same)
		HASH_DELETE(by_id, live->ids, same);
	HASH_ADD_KEYPTR(by_id, live->ids, request->id, strlen(request->id), request);
}

void live__event(struct live *live, const struct event *event)
{
	const struct event_response *response = (const void *)event;
	struct open_request *request;

	if (event->kind != RT_EVENT_REQUEST && event->kind != RT_EVENT_RESPONSE)
		return;
	pthread_mutex_lock(&live->mutex);
	if (event->kind == RT_EVENT_REQUEST) {
		begin(live, &((const struct event_request *)event)->request);
	} else {
		HASH_FIND(hh, live->requests, &response->seq, sizeof(response->seq), request);
		if (request && !request->end_ns)
			request->end_ns = event->time_ns;
	}
	pthread_mutex_unlock(&live->mutex);
}

void live__lost(struct live *live, uint64_t lost)
{
	pthread_mutex_lock(&live->mutex);
	live->lost = lost;
	pthread_mutex_unlock(&live->mutex);
}

static void put_text(FILE *out, const char *name, struct str value)
{
	fprintf(out, ",\"%s\":\"", name);
	format__escaped(out, value);
	putc('"', out);
}

static void put_counts(FILE *out, const struct counts *counts)
{
	fprintf(out, "\"lines\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"attributed\":%" PRIu64,
		counts->lines, counts->errors, counts->attributed);
}

static void put_replica(FILE *out, const struct replica *replica, const struct activity *activity,
			bool first)
{
	fputs(first ? "{" : ",{", out);
	put_counts(out, &activity->counts);
	fprintf(out, ",\"last_ns\":\"%" PRIu64 "\"", activity->last_ns);
	put_text(out, "replica", replica->replica);
	put_text(out, "model_id", replica->model_id);
	put_text(out, "model_version_id", replica->model_version_id);
	put_text(out, "environment", replica->environment);
	putc('}', out);
}

static void put_request(FILE *out, const struct open_request *request, uint64_t now_ns, bool first)
{
	uint64_t end_ns = request->end_ns ? request->end_ns : now_ns;
	const char *evidence = evidence_text(request->evidence);

	fputs(first ? "{" : ",{", out);
	put_counts(out, &request->counts);
	fprintf(out, ",\"age_ms\":%" PRIu64 ",\"in_flight\":%s,\"pid\":%u,\"tid\":%u",
		end_ns > request->begin_ns ? (end_ns - request->begin_ns) / 1000000 : 0,
		request->end_ns ? "false" : "true", request->tgid, request->tid);
	put_text(out, "request_id", str_from(request->id));
	put_text(out, "replica", str_from(request->replica));
	put_text(out, "evidence", str_from(evidence ? evidence : ""));
	putc('}', out);
}

void live__json(struct live *live, FILE *out)
{
	uint64_t now_ns = boot_now();
	struct open_request *request;
	const struct roster_member *member = NULL;
	bool first = true;

	pthread_mutex_lock(&live->mutex);
	sweep(live, now_ns);
	fprintf(out, "{\"lost\":%" PRIu64 ",\"replicas\":[", live->lost);
	for (; (member = roster__next(live->roster, member)); first = false)
		put_replica(out, &member->replica, roster__extra(member), first);
	fputs("],\"requests\":[", out);
	first = true;
	for (request = live->requests; request; request = request->hh.next) {
		if (request->end_ns && request->end_ns + GRACE_NS < now_ns)
			continue;
		put_request(out, request, now_ns, first);
		first = false;
	}
	fputs("]}\n", out);
	pthread_mutex_unlock(&live->mutex);
}
