/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/chunk.h"

#include <errno.h>

#define SAME_BODY UINT32_MAX

static bool same_body(const struct record *record)
{
	return str_equal(record->body, record->message);
}

static uint16_t id_len(const struct record *record)
{
	return record->request_id.len < UINT16_MAX ? (uint16_t)record->request_id.len : UINT16_MAX;
}

size_t chunk__entry_size(const struct record *record)
{
	return sizeof(struct chunk_entry) + id_len(record) + record->message.len +
	       record->exc_info.len + (same_body(record) ? 0 : record->body.len);
}

static uint8_t *put_text(uint8_t *to, const char *data, size_t len)
{
	if (len)
		memcpy(to, data, len);
	return to + len;
}

void chunk__put(uint8_t *to, const struct record *record, uint32_t identity, uint32_t missing)
{
	struct chunk_entry entry = {
		.time_ns = record->time_ns,
		.observed_ns = record->observed_ns,
		.boot_ns = record->written_ns ? record->time_ns - record->written_ns : 0,
		.identity = identity,
		.tgid = record->tgid,
		.tid = record->tid,
		.message_len = (uint32_t)record->message.len,
		.body_len = same_body(record) ? SAME_BODY : (uint32_t)record->body.len,
		.exc_info_len = (uint32_t)record->exc_info.len,
		.missing = missing,
		.request_id_len = id_len(record),
		.severity = (uint8_t)record->severity,
		.scope = (uint8_t)record->scope,
		.stream = record->stream,
		.evidence = (uint8_t)record->evidence,
		.has_trace = record->has_trace,
		.trace_flags = record->trace_flags,
	};

	memcpy(entry.trace_id, record->trace_id, sizeof(entry.trace_id));
	memcpy(entry.span_id, record->span_id, sizeof(entry.span_id));
	memcpy(to, &entry, sizeof(entry));
	to += sizeof(entry);
	to = put_text(to, record->request_id.data, entry.request_id_len);
	to = put_text(to, record->message.data, record->message.len);
	to = put_text(to, record->exc_info.data, record->exc_info.len);
	if (entry.body_len != SAME_BODY)
		put_text(to, record->body.data, record->body.len);
}

static struct str take_text(const uint8_t **at, size_t len)
{
	struct str text = { (const char *)*at, len };

	*at += len;
	return text;
}

int chunk__next(const uint8_t *data, size_t len, size_t *at, struct record *ret,
		struct chunk_entry *ret_entry)
{
	struct chunk_entry entry;
	const uint8_t *text = data + *at + sizeof(entry);
	size_t body, all;

	if (*at >= len)
		return -ENOENT;
	if (len - *at < sizeof(entry))
		return -EBADMSG;
	memcpy(&entry, data + *at, sizeof(entry));
	body = entry.body_len == SAME_BODY ? 0 : entry.body_len;
	all = sizeof(entry) + entry.request_id_len + (size_t)entry.message_len +
	      entry.exc_info_len + body;
	if (all > len - *at || entry.scope >= SCOPE_COUNT || entry.evidence >= EVIDENCE_COUNT)
		return -EBADMSG;
	*ret = (struct record){
		.time_ns = entry.time_ns,
		.observed_ns = entry.observed_ns,
		.written_ns = entry.boot_ns ? entry.time_ns - entry.boot_ns : 0,
		.scope = entry.scope,
		.severity = entry.severity,
		.evidence = entry.evidence,
		.has_trace = entry.has_trace,
		.trace_flags = entry.trace_flags,
		.stream = entry.stream,
		.tgid = entry.tgid,
		.tid = entry.tid,
	};
	memcpy(ret->trace_id, entry.trace_id, sizeof(ret->trace_id));
	memcpy(ret->span_id, entry.span_id, sizeof(ret->span_id));
	ret->request_id = take_text(&text, entry.request_id_len);
	ret->message = take_text(&text, entry.message_len);
	ret->exc_info = take_text(&text, entry.exc_info_len);
	ret->body = entry.body_len == SAME_BODY ? ret->message : take_text(&text, body);
	*ret_entry = entry;
	*at += all;
	return 0;
}

unsigned chunk__level(enum severity severity)
{
	unsigned level = severity ? (unsigned)(severity - 1) / 4 : 0;

	return level < CHUNK_LEVELS ? level : CHUNK_LEVELS - 1;
}
