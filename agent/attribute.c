/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribute.h"

#include <errno.h>
#include <stdlib.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include "agent/flight.h"

#define REQUESTS_MAX 131072
#define KEEP_ENDED_NS 60000000000ULL /* the access line, and what a slow unit still writes */
#define TEXT_GRACE_NS 1000000000ULL

/*
 * What a line needs of a request, in as few cache lines as it can be: of 100,000 in flight none is
 * in the cache. The handle comes first, the number that it is compared by right behind.
 */
struct known {
	UT_hash_handle hh; /* by sequence number, in order of begin */
	uint64_t seq;
	uint64_t container;
	uint64_t end_ns; /* 0 while open */
	uint16_t id_len;
	uint16_t trace_len; /* of the traceparent, which follows the id; or 0 */
	char text[];
};

struct attribute {
	struct attribute_config config;
	int (*lookup)(void *ctx, uint64_t seq, struct request *ret);
	void *ctx;
	struct known *requests;
	struct flight *flight;
	char line_id[RT_ID_MAX];
	struct attribute_stats stats;
};

_Static_assert(FLIGHT_ID_MAX == RT_ID_MAX, "ids in flight are the kernel's");

const char *attribute_none_text(enum attribute_none why)
{
	static const char *const texts[NONE_COUNT] = {
		[NONE_NO_REQUEST] = "no_request", [NONE_WITHOUT_ID] = "request_without_id",
		[NONE_FORGOTTEN] = "forgotten",   [NONE_DISAGREED] = "disagreed",
		[NONE_WEAK] = "weak_evidence",    [NONE_BUFFERED] = "buffered",
	};

	return why < NONE_COUNT ? texts[why] : NULL;
}

struct attribute *attribute__new(const struct attribute_config *config,
				 int (*lookup)(void *ctx, uint64_t seq, struct request *ret),
				 void *ctx)
{
	struct attribute *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->config = *config;
	if (!a->config.weakest)
		a->config.weakest = EVIDENCE_HANDOFF;
	a->lookup = lookup;
	a->ctx = ctx;
	a->flight = flight__new();
	return a->flight ? a : attribute__free(a);
}

static struct str id_of(const struct known *known)
{
	return (struct str){ known->text, known->id_len };
}

static struct str trace_of(const struct known *known)
{
	return (struct str){ known->text + known->id_len, known->trace_len };
}

static void answered(struct attribute *a, struct known *known, uint64_t end_ns)
{
	if (known->end_ns)
		return;
	known->end_ns = end_ns;
	flight__end(a->flight, known->container, id_of(known), known->seq, end_ns + TEXT_GRACE_NS);
}

static void forget(struct attribute *a, struct known *known)
{
	answered(a, known, 1);
	flight__forget(a->flight, known->container, id_of(known), known->seq);
	HASH_DEL(a->requests, known);
	free(known);
	a->stats.requests--;
}

struct attribute *attribute__free(struct attribute *a)
{
	while (a && a->requests)
		forget(a, a->requests);
	if (a)
		flight__free(a->flight);
	free(a);
	return NULL;
}

static struct known *known_new(const struct request *request)
{
	size_t id_len = request->id_len <= RT_ID_MAX ? request->id_len : 0;
	size_t trace_len = request->has_traceparent ? RT_TRACEPARENT_LEN : 0;
	struct known *known = malloc(sizeof(*known) + id_len + trace_len);

	if (!known)
		return NULL;
	*known = (struct known){
		.seq = request->seq,
		.container = request->container,
		.end_ns = request->end_ns,
		.id_len = (uint16_t)id_len,
		.trace_len = (uint16_t)trace_len,
	};
	if (request->state != RT_REQUEST_OPEN && !known->end_ns)
		known->end_ns = 1;
	memcpy(known->text, request->id, id_len);
	memcpy(known->text + id_len, request->traceparent, trace_len);
	return known;
}

static struct known *learn(struct attribute *a, const struct request *request)
{
	struct known *known;

	HASH_FIND(hh, a->requests, &request->seq, sizeof(request->seq), known);
	if (known)
		return known;
	if (a->stats.requests >= REQUESTS_MAX)
		forget(a, a->requests);
	known = known_new(request);
	if (!known)
		return NULL;
	HASH_ADD(hh, a->requests, seq, sizeof(known->seq), known);
	a->stats.requests++;
	if (!known->end_ns) /* without memory: less evidence, none that is wrong */
		(void)flight__begin(a->flight, known->container, id_of(known), known->seq);
	return known;
}

void attribute__request(struct attribute *a, const struct event_request *event)
{
	learn(a, &event->request);
}

void attribute__response(struct attribute *a, const struct event_response *event)
{
	struct known *known;

	HASH_FIND(hh, a->requests, &event->seq, sizeof(event->seq), known);
	if (known)
		answered(a, known, event->head.time_ns);
}

/* The request that the kernel named, from the table or, when its begin was lost, from the kernel.
 */
static struct known *find(struct attribute *a, uint64_t seq)
{
	struct request request;
	struct known *known;

	HASH_FIND(hh, a->requests, &seq, sizeof(seq), known);
	if (known)
		return known;
	if (a->lookup && !a->lookup(a->ctx, seq, &request))
		return learn(a, &request);
	return NULL;
}

static enum evidence unit_evidence(uint8_t unit)
{
	if (unit == RT_UNIT_HANDOFF)
		return EVIDENCE_HANDOFF;
	return unit == RT_UNIT_THREAD ? EVIDENCE_THREAD : EVIDENCE_UNIT;
}

static struct attribution none(struct attribute *a, enum attribute_none why)
{
	a->stats.none[why]++;
	return (struct attribution){ 0 };
}

/* A request without id decides too: its lines have none, and no weaker evidence gives one. */
static struct attribution settle(struct attribute *a, uint64_t seq, enum evidence evidence)
{
	struct known *known = find(a, seq);

	if (!known)
		return none(a, NONE_FORGOTTEN);
	if (!known->id_len)
		return none(a, NONE_WITHOUT_ID);
	if (evidence > a->config.weakest)
		return none(a, NONE_WEAK);
	return (struct attribution){ .id = id_of(known),
				     .evidence = evidence,
				     .traceparent = trace_of(known) };
}

/* The line's own request_id. Its trace is known where the kernel's owner has that id too. */
static struct attribution settle_line(struct attribute *a, const struct line *line,
				      struct str line_id)
{
	struct known *known = line->request ? find(a, line->request) : NULL;

	struct attribution result = { .id = { a->line_id, line_id.len },
				      .evidence = EVIDENCE_LINE };

	memcpy(a->line_id, line_id.data, line_id.len);
	if (known && str_equal(id_of(known), line_id))
		result.traceparent = trace_of(known);
	return result;
}

static struct attribution decide(struct attribute *a, const struct line *line, struct str line_id)
{
	uint64_t seq;
	int err = -ENOENT;

	if (line_id.len && line_id.len <= RT_ID_MAX)
		return settle_line(a, line, line_id);
	if (line->request)
		return settle(a, line->request,
			      line->relayed ? EVIDENCE_RELAY : unit_evidence(line->unit));
	if (a->config.weakest >= EVIDENCE_TEXT)
		err = flight__find(a->flight, line->container, line->text, line->time_ns, &seq);
	if (!err)
		return settle(a, seq, EVIDENCE_TEXT);
	if (err == -EEXIST)
		return none(a, NONE_DISAGREED);
	if (line->buffered)
		return none(a, NONE_BUFFERED);
	if (a->config.weakest >= EVIDENCE_SOLE && !flight__sole(a->flight, line->container, &seq))
		return settle(a, seq, EVIDENCE_SOLE);
	return none(a, NONE_NO_REQUEST);
}

struct attribution attribute__line(struct attribute *a, const struct line *line, struct str line_id)
{
	struct attribution result = decide(a, line, line_id);

	a->stats.by_evidence[result.evidence]++;
	return result;
}

struct attribution attribute__handoff(struct attribute *a, uint64_t seq)
{
	struct attribution result = settle(a, seq, EVIDENCE_HANDOFF);

	a->stats.none[NONE_NO_REQUEST]--; /* as it was counted when it came */
	a->stats.by_evidence[EVIDENCE_NONE]--;
	a->stats.by_evidence[result.evidence]++;
	return result;
}

uint64_t attribute__tick(struct attribute *a, uint64_t now_ns)
{
	struct known *known, *next;

	HASH_ITER (hh, a->requests, known, next) {
		uint64_t end = known->end_ns;

		if (end && end + TEXT_GRACE_NS < now_ns)
			flight__forget(a->flight, known->container, id_of(known), known->seq);
		if (end && end + KEEP_ENDED_NS < now_ns)
			forget(a, known);
	}
	return now_ns + 1000000000;
}

const struct attribute_stats *attribute__stats(const struct attribute *a)
{
	return &a->stats;
}

void attribute__describe(const struct attribute_stats *stats, FILE *out)
{
	const char *before = " (";

	fprintf(out, "; without id %llu", (unsigned long long)stats->by_evidence[EVIDENCE_NONE]);
	for (int i = 0; i < NONE_COUNT; i++) {
		if (!stats->none[i])
			continue;
		fprintf(out, "%s%s %llu", before, attribute_none_text(i),
			(unsigned long long)stats->none[i]);
		before = ", ";
	}
	fputs(*before == ',' ? ")" : "", out);
	for (int i = EVIDENCE_NONE + 1; i < EVIDENCE_COUNT; i++)
		if (stats->by_evidence[i])
			fprintf(out, ", %s %llu", evidence_text(i),
				(unsigned long long)stats->by_evidence[i]);
}
