/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attribute.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define REQUESTS_MAX 65536
#define KEEP_ENDED_NS 60000000000ULL /* the access line, and what a slow unit still writes */
#define TEXT_GRACE_NS 1000000000ULL
#define TEXT_ID_MIN 16 /* a shorter id may stand in a text by chance */
#define TEXT_TOKENS 64 /* of one line that are looked at */
#define TEXT_PARTS 8   /* of one token, between dashes */

struct known {
	struct request request;
	UT_hash_handle hh;  /* by sequence number, in order of begin */
	UT_hash_handle hid; /* by container and id, for `text`; in flight only */
	struct id_key {
		uint64_t container;
		char id[RT_ID_MAX];
	} key;
	bool in_text;
};

struct attribute {
	struct attribute_config config;
	int (*lookup)(void *ctx, uint64_t seq, struct request *ret);
	void *ctx;
	struct known *requests;
	struct known *ids;
	struct id_key scratch;
	char line_id[RT_ID_MAX];
	struct attribute_stats stats;
};

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
	return a;
}

static void text_remove(struct attribute *a, struct known *known)
{
	if (known->in_text)
		HASH_DELETE(hid, a->ids, known);
	known->in_text = false;
}

static void forget(struct attribute *a, struct known *known)
{
	text_remove(a, known);
	HASH_DEL(a->requests, known);
	free(known);
	a->stats.requests--;
}

struct attribute *attribute__free(struct attribute *a)
{
	while (a && a->requests)
		forget(a, a->requests);
	free(a);
	return NULL;
}

static struct known *learn(struct attribute *a, const struct request *request)
{
	struct known *known, *other;

	HASH_FIND(hh, a->requests, &request->seq, sizeof(request->seq), known);
	if (known)
		return known;
	if (a->stats.requests >= REQUESTS_MAX)
		forget(a, a->requests);
	known = calloc(1, sizeof(*known));
	if (!known)
		return NULL;
	known->request = *request;
	if (known->request.id_len > RT_ID_MAX)
		known->request.id_len = 0;
	HASH_ADD(hh, a->requests, request.seq, sizeof(known->request.seq), known);
	a->stats.requests++;
	if (known->request.id_len < TEXT_ID_MIN || request->state != RT_REQUEST_OPEN)
		return known;
	known->key.container = request->container;
	memcpy(known->key.id, request->id, known->request.id_len);
	HASH_FIND(hid, a->ids, &known->key, sizeof(known->key), other);
	if (other) /* a retry with the same id, which the first request does not outlive */
		text_remove(a, other);
	HASH_ADD(hid, a->ids, key, sizeof(known->key), known);
	known->in_text = true;
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
	if (!known)
		return;
	known->request.state = event->state;
	known->request.end_ns = event->head.time_ns;
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
	a->stats.unknown_request++;
	return NULL;
}

static bool is_id_byte(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

static struct known *id_find(struct attribute *a, uint64_t container, struct str id)
{
	struct known *known;

	if (id.len < TEXT_ID_MIN || id.len > RT_ID_MAX)
		return NULL;
	memset(&a->scratch, 0, sizeof(a->scratch));
	a->scratch.container = container;
	memcpy(a->scratch.id, id.data, id.len);
	HASH_FIND(hid, a->ids, &a->scratch, sizeof(a->scratch), known);
	return known;
}

/* A token is an id, or carries one between dashes: "chatcmpl-<id>", "cmpl-<id>-0". */
static struct known *token_find(struct attribute *a, uint64_t container, struct str token)
{
	size_t starts[TEXT_PARTS + 1];
	unsigned parts = 0;

	while (token.len && token.data[token.len - 1] == '.')
		token.len--; /* the end of a sentence */
	starts[parts++] = 0;
	for (size_t i = 0; i < token.len && parts <= TEXT_PARTS; i++)
		if (token.data[i] == '-')
			starts[parts++] = i + 1;
	for (unsigned from = 0; from < parts; from++) {
		for (unsigned to = parts; to > from; to--) {
			size_t end = to == parts ? token.len : starts[to] - 1;
			struct known *known;

			if (end < starts[from] + TEXT_ID_MIN)
				break;
			known = id_find(
				a, container,
				(struct str){ token.data + starts[from], end - starts[from] });
			if (known)
				return known;
		}
	}
	return NULL;
}

/* The one request in flight whose id stands in the text; NULL: none, or two. */
static struct known *text_find(struct attribute *a, const struct line *line)
{
	struct str text = line->text;
	struct known *found = NULL;
	size_t i = 0;

	for (int tokens = 0; a->ids && i < text.len && tokens < TEXT_TOKENS; tokens++) {
		struct known *known;
		size_t start;

		while (i < text.len && !is_id_byte(text.data[i]))
			i++;
		start = i;
		while (i < text.len && is_id_byte(text.data[i]))
			i++;
		if (i - start < TEXT_ID_MIN)
			continue;
		known = token_find(a, line->container,
				   (struct str){ text.data + start, i - start });
		if (!known || known == found)
			continue;
		if (known->request.end_ns && known->request.end_ns + TEXT_GRACE_NS < line->time_ns)
			continue;
		if (found) {
			a->stats.disagreed++;
			return NULL;
		}
		found = known;
	}
	return found;
}

static enum evidence unit_evidence(uint8_t unit)
{
	return unit == RT_UNIT_THREAD ? EVIDENCE_THREAD : EVIDENCE_UNIT;
}

/* A request without id decides too: its lines have none, and no weaker evidence gives one. */
static struct attribution settle(struct attribute *a, struct known *known, enum evidence evidence)
{
	struct attribution result = { .request = &known->request };

	if (evidence <= a->config.weakest && known->request.id_len) {
		result.id = (struct str){ known->request.id, known->request.id_len };
		result.evidence = evidence;
	}
	return result;
}

static struct attribution decide(struct attribute *a, const struct line *line, struct str line_id)
{
	struct known *known = line->request ? find(a, line->request) : NULL;
	struct attribution result = { 0 };

	if (line_id.len && line_id.len <= RT_ID_MAX) {
		memcpy(a->line_id, line_id.data, line_id.len);
		result.id = (struct str){ a->line_id, line_id.len };
		result.evidence = EVIDENCE_LINE;
		result.request = known ? &known->request : NULL;
		return result;
	}
	if (known)
		return settle(a, known, line->relayed ? EVIDENCE_RELAY : unit_evidence(line->unit));
	if (line->request)
		return result; /* it belongs to a request that is not known any more */
	if (a->config.weakest >= EVIDENCE_TEXT && (known = text_find(a, line)))
		return settle(a, known, EVIDENCE_TEXT);
	return result;
}

struct attribution attribute__line(struct attribute *a, const struct line *line, struct str line_id)
{
	struct attribution result = decide(a, line, line_id);

	a->stats.by_evidence[result.evidence]++;
	return result;
}

uint64_t attribute__tick(struct attribute *a, uint64_t now_ns)
{
	struct known *known, *next;

	HASH_ITER (hh, a->requests, known, next) {
		uint64_t end = known->request.end_ns;

		if (end && end + TEXT_GRACE_NS < now_ns)
			text_remove(a, known);
		if (end && end + KEEP_ENDED_NS < now_ns)
			forget(a, known);
	}
	return now_ns + 1000000000;
}

const struct attribute_stats *attribute__stats(const struct attribute *a)
{
	return &a->stats;
}
