/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attribute: which request a line belongs to, and why. The kernel's owner, the line's own
 * request_id, relayed copies and ids in the text are evidence of different rank; the strongest
 * decides, two of equal rank that disagree mean none. A wrong id is worse than none.
 */
#ifndef REQTAP_ATTRIBUTE_H
#define REQTAP_ATTRIBUTE_H

#include <stdint.h>
#include <stdio.h>
#include "agent/line.h"
#include "agent/record.h"
#include "bpf/event.h"

struct attribute_config {
	enum evidence
		weakest; /* --evidence: weaker ones are not used; EVIDENCE_HANDOFF by default */
};

/* What is known of a line's request. The texts live until the next call. */
struct attribution {
	struct str id;
	enum evidence evidence;
	struct str
		traceparent; /* RT_TRACEPARENT_LEN bytes; empty: none, or not named by the kernel */
};

/* Why a line has no id. */
enum attribute_none {
	NONE_NO_REQUEST, /* whoever wrote it works for no request, as far as is known */
	NONE_WITHOUT_ID, /* its request has none */
	NONE_FORGOTTEN,  /* its request is not known any more */
	NONE_DISAGREED,  /* its text has the ids of two requests */
	NONE_WEAK,       /* the evidence is weaker than --evidence */
	NONE_BUFFERED,   /* it came out of a full buffer, which any thread may have written */
	NONE_COUNT,
};

/* "no_request" …, a name for metrics. */
const char *attribute_none_text(enum attribute_none why);

struct attribute_stats {
	uint64_t by_evidence[EVIDENCE_COUNT]; /* [EVIDENCE_NONE]: lines without an id */
	uint64_t none[NONE_COUNT];            /* those without, by reason */
	uint64_t requests;                    /* in the table now */
};

struct attribute;

/* `lookup` asks the kernel for a request whose begin was lost; may be NULL. 0 or -ENOENT. */
struct attribute *attribute__new(const struct attribute_config *config,
				 int (*lookup)(void *ctx, uint64_t seq, struct request *ret),
				 void *ctx);
struct attribute *attribute__free(struct attribute *attribute);

void attribute__request(struct attribute *attribute, const struct event_request *event);
void attribute__response(struct attribute *attribute, const struct event_response *event);

/* `line_id`: the request_id of the line's own JSON, or len 0. */
struct attribution attribute__line(struct attribute *attribute, const struct line *line,
				   struct str line_id);

/* A line that attribute__line() found no request for is of `seq`: a thread wrote its response. */
struct attribution attribute__handoff(struct attribute *attribute, uint64_t seq);

/* Forgets requests that ended long enough ago; returns when to call again. */
uint64_t attribute__tick(struct attribute *attribute, uint64_t now_ns);

/* "; without id 3 (no_request 3), unit 10": after the number of lines, for a person. */
void attribute__describe(const struct attribute_stats *stats, FILE *out);

const struct attribute_stats *attribute__stats(const struct attribute *attribute);

#endif
