/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include "agent/counter.h"
#include "agent/json.h"
#include "agent/level.h"
#include "agent/relay.h"
#include "agent/traceback.h"

#define STREAMS_MAX 8192
#define STREAM_IDLE_NS 60000000000ULL /* a line is not held for so long: the next one is later */
/* Origin lines are needed for so long by the next agent: a relay copies within milliseconds. */
#define ORIGIN_HELD_NS 1000000000ULL

/* The newest record time of a stream: times of one stream are distinct and increase. */
struct stream_time {
	struct {
		uint64_t inode;
		uint64_t device;
	} key;
	uint64_t last_ns;
	UT_hash_handle hh;
};

struct pipeline {
	struct pipeline_config config;
	struct replica_table *replicas;
	struct line_assembler *lines;
	struct traceback_joiner *tracebacks;
	struct json_reader *json;
	struct attribute *attribute;
	struct relay *relay;
	struct handoff *handoff;
	struct http2_decoder *http2;
	struct stream_time *streams;
	/* read once a round: two clock reads a record cost more than its parsing */
	uint64_t boot_to_unix_ns;
	uint64_t observed_ns;
	uint64_t attribute_due, replica_due, streams_due;
	uint64_t position;    /* of the event at hand */
	bool was_durable;     /* likewise */
	uint64_t origins[2];  /* the first origin line's position, of this half of ORIGIN_HELD_NS
				 and of the one before; UINT64_MAX: none */
	uint64_t origins_due; /* when the halves move on */
	struct pipeline_stats stats;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void read_clocks(struct pipeline *p)
{
	p->observed_ns = clock_ns(CLOCK_REALTIME);
	p->boot_to_unix_ns = p->observed_ns - clock_ns(CLOCK_BOOTTIME);
}

static uint64_t stream_time(struct pipeline *p, const struct line *line)
{
	uint64_t time = line->time_ns + p->boot_to_unix_ns;
	struct stream_time *stream, key = { .key = { line->inode, line->device } };

	HASH_FIND(hh, p->streams, &key.key, sizeof(key.key), stream);
	if (!stream) {
		if (HASH_COUNT(p->streams) >= STREAMS_MAX) {
			stream = p->streams;
			HASH_DEL(p->streams, stream);
			free(stream);
		}
		stream = calloc(1, sizeof(*stream));
		if (!stream)
			return time;
		stream->key = key.key;
		HASH_ADD(hh, p->streams, key, sizeof(stream->key), stream);
	}
	stream->last_ns = time > stream->last_ns ? time : stream->last_ns + 1;
	return stream->last_ns;
}

/* Those without a record since then. */
static void forget_streams(struct pipeline *p, uint64_t since_ns)
{
	struct stream_time *stream, *next;

	HASH_ITER (hh, p->streams, stream, next) {
		if (stream->last_ns >= since_ns)
			continue;
		HASH_DEL(p->streams, stream);
		free(stream);
	}
}

static int hex_bytes(const char *text, uint8_t *ret, size_t bytes)
{
	uint8_t all = 0;

	for (size_t i = 0; i < 2 * bytes; i++) {
		char c = text[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
						   : -1;

		if (digit < 0)
			return -EINVAL;
		ret[i / 2] = i % 2 ? ret[i / 2] | digit : digit << 4;
		all |= digit;
	}
	return all ? 0 : -EINVAL; /* all zero is no id (W3C Trace Context, section 3.2.2.3) */
}

/* "00-<trace id>-<parent id>-<flags>" */
static void set_trace(struct record *record, struct str traceparent)
{
	const char *text = traceparent.data;
	uint8_t flags[1];

	if (traceparent.len != RT_TRACEPARENT_LEN || text[2] != '-' || text[35] != '-' ||
	    text[52] != '-')
		return;
	if (hex_bytes(text + 3, record->trace_id, 16) || hex_bytes(text + 36, record->span_id, 8))
		return;
	record->has_trace = true;
	record->trace_flags = hex_bytes(text + 53, flags, 1) ? 0 : flags[0];
}

static void hand_out(struct pipeline *p, struct record *record)
{
	record->observed_ns = record->time_ns > p->observed_ns ? record->time_ns : p->observed_ns;
	record->replica = replica_table__get(p->replicas, record->container);
	p->stats.records++;
	p->config.sink(p->config.sink_ctx, record);
}

/* What a line says about its record, its time on the stream among it. */
static void place(struct pipeline *p, struct record *record, const struct line *line)
{
	record->time_ns = stream_time(p, line);
	record->written_ns = line->time_ns;
	record->container = line->container;
}

static void deliver(struct pipeline *p, struct record *record, const struct line *line)
{
	place(p, record, line);
	if (!p->was_durable)
		hand_out(p, record);
}

static void set_request(struct record *record, const struct attribution *attribution)
{
	record->request_id = attribution->id;
	record->evidence = attribution->evidence;
	set_trace(record, attribution->traceparent);
}

static void on_settled(void *ctx, struct record *record, uint64_t seq)
{
	struct pipeline *p = ctx;
	struct attribution attribution;

	if (seq) {
		attribution = attribute__handoff(p->attribute, seq);
		set_request(record, &attribution);
	}
	hand_out(p, record);
}

static void on_stream(void *ctx, const struct event_request *event)
{
	struct pipeline *p = ctx;

	attribute__request(p->attribute, event);
	if (p->config.stream)
		p->config.stream(p->config.stream_ctx, &event->head);
}

/* What is missing is said where it is missing. Which lines the lost bytes held, nobody knows. */
static void tell_losses(struct pipeline *p, const struct line *line)
{
	const struct counter *counter = counter__of(line->lost_reason);
	struct record record = { .severity = SEVERITY_WARN };
	char text[128];

	snprintf(text, sizeof(text), "reqtap: %u bytes of %u writes lost (%s)", line->lost_bytes,
		 line->lost_writes, counter && counter->why ? counter->why : "unknown");
	record.body = record.message = str_from(text);
	deliver(p, &record, line);
}

void pipeline__lost(struct pipeline *p, const struct stream_key *key, const struct stream *stream)
{
	struct line line;

	line_assembler__lost(p->lines, key, stream, &line);
	line.time_ns = p->observed_ns - p->boot_to_unix_ns;
	if (line.lost_writes)
		tell_losses(p, &line);
}

/* A record of `line`; `exc_info` when it heads or ends a traceback. */
static void make_record(struct pipeline *p, const struct line *line, struct str exc_info)
{
	struct record record = { .body = line->text, .message = line->text, .exc_info = exc_info };
	struct attribution attribution;
	struct json_line json = { 0 };
	char cut[64];

	if (line->text.len && line->text.data[0] == '{' &&
	    !json_reader__line(p->json, line->text, &json)) {
		if (json.message.data)
			record.message = json.message;
		if (json.exc_info.len)
			record.exc_info = json.exc_info;
		record.severity = json.severity;
	} else {
		record.severity = level__from_line(line->text);
	}
	if (!record.severity && exc_info.len)
		record.severity = SEVERITY_ERROR; /* an exception's own report */
	attribution = attribute__line(p->attribute, line, json.request_id);
	set_request(&record, &attribution);
	record.tgid = line->tgid;
	record.tid = line->tid;
	record.stream = line->stream;
	place(p, &record, line);
	if (!p->was_durable &&
	    (attribution.evidence || !line->doubt || !handoff__hold(p->handoff, &record, line)))
		hand_out(p, &record);
	if (!line->cut_bytes)
		return;
	snprintf(cut, sizeof(cut), "reqtap: the line before was cut, %u bytes are missing",
		 line->cut_bytes);
	record = (struct record){ .severity = SEVERITY_WARN,
				  .body = str_from(cut),
				  .message = str_from(cut) };
	deliver(p, &record, line);
}

static void on_traceback(void *ctx, const struct traceback *traceback)
{
	make_record(ctx, traceback->line, traceback->text);
}

static void on_relayed(void *ctx, const struct line *line, bool durable)
{
	struct pipeline *p = ctx;
	bool was_durable = p->was_durable;

	p->was_durable = durable;
	if (line->lost_writes)
		tell_losses(p, line);
	if (!traceback_joiner__line(p->tracebacks, line))
		make_record(p, line, (struct str){ NULL, 0 });
	p->was_durable = was_durable;
}

static void on_line(void *ctx, const struct line *line)
{
	struct pipeline *p = ctx;

	if (!line->origin) {
		relay__line(p->relay, line, p->was_durable);
		return;
	}
	relay__origin(p->relay, line);
	if (line->position < p->origins[0])
		p->origins[0] = line->position;
}

struct pipeline *pipeline__new(const struct pipeline_config *config, struct replica_table *replicas)
{
	struct pipeline *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->config = *config;
	p->replicas = replicas;
	p->lines = line_assembler__new(config->line_max_bytes, on_line, p);
	p->tracebacks = traceback_joiner__new(on_traceback, p);
	p->json = json_reader__new();
	p->attribute = attribute__new(&config->attribute, config->request_lookup,
				      config->request_lookup_ctx);
	p->relay = relay__new(on_relayed, p);
	p->handoff = handoff__new(on_settled, p);
	p->http2 = http2_decoder__new(config->headers, on_stream, p);
	if (!p->http2 || !p->handoff || !p->lines || !p->tracebacks || !p->json || !p->attribute ||
	    !p->relay)
		return pipeline__free(p);
	p->origins[0] = p->origins[1] = UINT64_MAX;
	read_clocks(p);
	return p;
}

struct pipeline *pipeline__free(struct pipeline *p)
{
	if (!p)
		return NULL;
	forget_streams(p, UINT64_MAX);
	line_assembler__free(p->lines);
	traceback_joiner__free(p->tracebacks);
	json_reader__free(p->json);
	attribute__free(p->attribute);
	relay__free(p->relay);
	handoff__free(p->handoff);
	http2_decoder__free(p->http2);
	free(p);
	return NULL;
}

static void on_exit_event(struct pipeline *p, const struct event_process *event)
{
	bool last = event->flags & RT_PROCESS_LAST_THREAD;

	line_assembler__exit(p->lines, event->tgid, event->tid, last);
	traceback_joiner__exit(p->tracebacks, event->tid);
	handoff__exit(p->handoff, event->tgid, event->tid);
}

static void on_handoff(struct pipeline *p, const struct event_handoff *event)
{
	/* what the thread has begun and not ended is older than its response */
	traceback_joiner__exit(p->tracebacks, event->tid);
	handoff__settle(p->handoff, event);
}

/* The head's own length is checked by the caller; each kind's here. */
static int dispatch(struct pipeline *p, const struct event *event, size_t len)
{
	const struct event_fragment *fragment = (const void *)event;
	const struct event_headers *headers = (const void *)event;

	switch (event->kind) {
	case RT_EVENT_FRAGMENT:
		if (len < sizeof(*fragment) || fragment->len > len - sizeof(*fragment))
			return -EPROTO;
		return line_assembler__fragment(p->lines, fragment, p->position);
	case RT_EVENT_REQUEST:
		if (len < sizeof(struct event_request))
			return -EPROTO;
		attribute__request(p->attribute, (const void *)event);
		return 0;
	case RT_EVENT_RESPONSE:
		if (len < sizeof(struct event_response))
			return -EPROTO;
		attribute__response(p->attribute, (const void *)event);
		return 0;
	case RT_EVENT_HANDOFF:
		if (len < sizeof(struct event_handoff))
			return -EPROTO;
		on_handoff(p, (const void *)event);
		return 0;
	case RT_EVENT_HEADERS:
		if (len < sizeof(*headers) || headers->len > len - sizeof(*headers))
			return -EPROTO;
		return http2_decoder__piece(p->http2, headers);
	case RT_EVENT_EXEC:
	case RT_EVENT_EXIT:
		if (len < sizeof(struct event_process))
			return -EPROTO;
		if (event->kind == RT_EVENT_EXEC)
			replica_table__process(p->replicas, event->container,
					       ((const struct event_process *)event)->tgid);
		else
			on_exit_event(p, (const void *)event);
		return 0;
	case RT_EVENT_CGROUP: /* not a stage's business */
	case RT_EVENT_MAP:
		return 0;
	default:
		return -EPROTO;
	}
}

int pipeline__event(struct pipeline *p, const struct event *event, size_t len)
{
	int err = len < sizeof(*event) ? -EPROTO : dispatch(p, event, len);

	if (err == -EPROTO)
		p->stats.bad_events++;
	return err;
}

void pipeline__at(struct pipeline *p, uint64_t position, bool was_durable)
{
	p->position = position;
	p->was_durable = was_durable;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t pipeline__held(const struct pipeline *p, uint64_t *ret_unsent)
{
	*ret_unsent = earlier(traceback_joiner__held(p->tracebacks), handoff__held(p->handoff));
	*ret_unsent = earlier(*ret_unsent, relay__held(p->relay));
	return earlier(earlier(*ret_unsent, line_assembler__held(p->lines)),
		       earlier(p->origins[0], p->origins[1]));
}

/* Returns when the held origins are to be looked at again. */
static uint64_t let_go_of_origins(struct pipeline *p, uint64_t now_ns)
{
	if (now_ns >= p->origins_due) {
		p->origins[1] = p->origins[0];
		p->origins[0] = UINT64_MAX;
		p->origins_due = now_ns + ORIGIN_HELD_NS / 2;
	}
	return earlier(p->origins[0], p->origins[1]) == UINT64_MAX ? UINT64_MAX : p->origins_due;
}

uint64_t pipeline__tick(struct pipeline *p, uint64_t now_ns)
{
	uint64_t due;

	p->was_durable = false; /* what ends by its time was not complete then */
	read_clocks(p);
	replica_table__now(p->replicas, now_ns);
	due = line_assembler__tick(p->lines, now_ns);
	due = earlier(due, relay__tick(p->relay, now_ns));
	due = earlier(due, traceback_joiner__tick(p->tracebacks, now_ns));
	due = earlier(due, handoff__tick(p->handoff, now_ns));
	if (p->attribute_due <= now_ns)
		p->attribute_due = attribute__tick(p->attribute, now_ns);
	if (p->replica_due <= now_ns)
		p->replica_due = replica_table__tick(p->replicas, now_ns);
	if (p->streams_due <= now_ns) {
		forget_streams(p, p->observed_ns - STREAM_IDLE_NS);
		p->streams_due = now_ns + STREAM_IDLE_NS / 2;
	}
	due = earlier(due, let_go_of_origins(p, now_ns));
	due = earlier(due, p->streams_due);
	return earlier(due, earlier(p->attribute_due, p->replica_due));
}

void pipeline__settle(struct pipeline *p)
{
	p->was_durable = false;
	relay__flush(p->relay);
	traceback_joiner__exit(p->tracebacks, 0);
	handoff__flush(p->handoff);
}

void pipeline__flush(struct pipeline *p)
{
	p->was_durable = false;
	p->origins[0] = p->origins[1] = UINT64_MAX;
	line_assembler__flush(p->lines);
	pipeline__settle(p);
}

void pipeline__stats(const struct pipeline *p, struct pipeline_stats *ret)
{
	*ret = p->stats;
	ret->line = line_assembler__stats(p->lines);
	ret->handoff = handoff__stats(p->handoff);
	ret->attribute = attribute__stats(p->attribute);
	ret->http2 = http2_decoder__stats(p->http2);
}
