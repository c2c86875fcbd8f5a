/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline: the stages from a ring record to the sinks, wired once for `run` and `agent`:
 *
 *   event ─► line ─► record (level, json, traceback) ─► attribute ─► replica ─► sinks
 */
#ifndef REQTAP_PIPELINE_H
#define REQTAP_PIPELINE_H

#include <stdint.h>
#include "agent/attribute.h"
#include "agent/handoff.h"
#include "agent/http2.h"
#include "agent/line.h"
#include "agent/record.h"
#include "agent/replica.h"

struct pipeline_config {
	uint32_t line_max_bytes; /* 0: LINE_MAX_BYTES */
	struct attribute_config attribute;
	int (*request_lookup)(void *ctx, uint64_t seq, struct request *ret);
	void *request_lookup_ctx;
	const char *const *headers; /* of ids, as in struct probe_config; the caller's */
	/* A request of HTTP/2 as an event_request, when its id is decoded; NULL: nobody asks. */
	void (*stream)(void *ctx, const struct event *event);
	void *stream_ctx;
	record_fn sink; /* gets every record, in order per stream but for what agent/handoff.h holds
			 */
	void *sink_ctx;
};

struct pipeline;

/* `replicas` stays the caller's and must outlive the pipeline. */
struct pipeline *pipeline__new(const struct pipeline_config *config,
			       struct replica_table *replicas);
struct pipeline *pipeline__free(struct pipeline *pipeline);

/*
 * The next record begins at `position` of the ring. `was_durable`: an agent before this one sent
 * the lines that it ends; it is read for what it tells of requests and of lines that go on.
 */
void pipeline__at(struct pipeline *pipeline, uint64_t position, bool was_durable);

/* One ring record of `len` bytes. -EPROTO: not a record of this contract, counted. */
int pipeline__event(struct pipeline *pipeline, const struct event *event, size_t len);

/*
 * The lowest position that is still needed, were this agent to die now: where an unfinished line
 * begins, or an origin line that may yet be copied. *ret_unsent: the lowest of a line that is
 * complete and has not gone to the sink. UINT64_MAX: nothing waits.
 */
uint64_t pipeline__held(const struct pipeline *pipeline, uint64_t *ret_unsent);

/* Timeouts of all stages; returns when to call again. */
uint64_t pipeline__tick(struct pipeline *pipeline, uint64_t now_ns);

/*
 * Of a stream that has lost something: what no later record of it has told is told now, if the
 * call before this one knew it.
 */
void pipeline__lost(struct pipeline *pipeline, const struct stream_key *key,
		    const struct stream *stream);

/* Complete lines that wait, for what may follow or for their request, go out as they are. */
void pipeline__settle(struct pipeline *pipeline);

/* Everything that waits goes out, unfinished lines too. */
void pipeline__flush(struct pipeline *pipeline);

struct pipeline_stats {
	uint64_t records;
	uint64_t bad_events;
	const struct line_stats *line;
	const struct handoff_stats *handoff;
	const struct attribute_stats *attribute;
	const struct http2_stats *http2;
};

void pipeline__stats(const struct pipeline *pipeline, struct pipeline_stats *ret);

#endif
