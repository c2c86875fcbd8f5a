/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: a line with its attributes, as it is exported, shown and kept. Every sink (batch,
 * console, history) takes a const struct record * and copies what it keeps.
 */
#ifndef REQTAP_RECORD_H
#define REQTAP_RECORD_H

#include <stdint.h>
#include "agent/str.h"

/* OTLP SeverityNumber: the lowest of each level's range. 0: unknown, and left unset. */
enum severity {
	SEVERITY_UNSET = 0,
	SEVERITY_DEBUG = 5,
	SEVERITY_INFO = 9,
	SEVERITY_WARN = 13,
	SEVERITY_ERROR = 17,
	SEVERITY_FATAL = 21,
};

/* "DEBUG", "INFO", "WARN", "ERROR", "FATAL"; NULL when unset. */
const char *severity_text(enum severity severity);

/* Why a record has its request id; strongest first. design.md, "Evidence". */
enum evidence {
	EVIDENCE_NONE = 0,
	EVIDENCE_LINE,
	EVIDENCE_UNIT,
	EVIDENCE_THREAD,
	EVIDENCE_RELAY,
	EVIDENCE_TEXT,
	EVIDENCE_HANDOFF,
	EVIDENCE_SOLE,
	EVIDENCE_COUNT,
};

/* "line", "unit" …; NULL for none. */
const char *evidence_text(enum evidence evidence);

/* The kind of log; the OTLP scope name is "reqtap." and this word. */
enum scope {
	SCOPE_SERVING,
	SCOPE_BUILD,
	SCOPE_DEPLOY,
	SCOPE_COUNT,
};

const char *scope_name(enum scope scope);

/*
 * Whose line it is. Owned by replica.c, alive and unchanged until replaced there: a change of
 * labels makes a new one, so that a sink may compare pointers within one callback only.
 */
struct replica {
	uint64_t container; /* bpf/event.h, struct event */
	struct str replica;
	struct str model_id;
	struct str model_version_id;
	struct str environment;
	struct str chainlet_id;
	struct str training_job_id;
};

struct record {
	uint64_t time_ns;     /* UNIX time of the write; distinct and increasing per stream */
	uint64_t observed_ns; /* UNIX time when the agent took it from the ring */
	uint64_t written_ns;  /* CLOCK_BOOTTIME of the write, as the kernel told it: the same when
				 it is read again. 0: the agent's own */
	enum scope scope;
	enum severity severity;
	struct str body;     /* the line, valid UTF-8 */
	struct str message;  /* the line; for a JSON line its message */
	struct str exc_info; /* formatted traceback; len 0: none */
	struct str request_id;
	enum evidence evidence;
	const struct replica *replica; /* never NULL; unknown members have len 0 */
	uint64_t container;            /* as its event named it; 0: the agent's own */
	bool has_trace;
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t trace_flags;
	uint8_t stream; /* enum rt_stream_kind; RT_STREAM_NONE for the agent's own records */
	uint32_t tgid;
	uint32_t tid;
};

/* A stage's output. The record and all it points to live until the function returns. */
typedef void (*record_fn)(void *ctx, const struct record *record);

#endif
