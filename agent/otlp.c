/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "agent/otlp.h"
#include "agent/utf8.h"
#include "proto/otlp.pb-c.h"

/* Wire types: protobuf.dev/programming-guides/encoding */
#define TAG_VARINT(field) ((uint8_t)((field) << 3))
#define TAG_FIXED64(field) ((uint8_t)((field) << 3 | 1))
#define TAG_BYTES(field) ((uint8_t)((field) << 3 | 2))
#define TAG_FIXED32(field) ((uint8_t)((field) << 3 | 5))

enum field {
	REQUEST_RESOURCE_LOGS = 1,
	RESOURCE_LOGS_SCOPE_LOGS = 2,
	SCOPE_LOGS_RECORDS = 2,
	RECORD_TIME = 1,
	RECORD_SEVERITY_NUMBER = 2,
	RECORD_SEVERITY_TEXT = 3,
	RECORD_BODY = 5,
	RECORD_ATTRIBUTES = 6,
	RECORD_FLAGS = 8,
	RECORD_TRACE_ID = 9,
	RECORD_SPAN_ID = 10,
	RECORD_OBSERVED = 11,
	KEY_VALUE_KEY = 1,
	KEY_VALUE_VALUE = 2,
	ANY_VALUE_STRING = 1,
};

/* Lengths that are known only at the end: a varint of 4 bytes, padded, holds 256 MiB. */
#define OPEN_LENGTH 4
#define ATTRIBUTES_MAX 9
/* A record's fixed fields, tags and lengths, above its texts. */
#define RECORD_OVERHEAD 512
#define BUFFER_MIN 4096

struct otlp {
	uint8_t *data;
	size_t len;
	size_t size;
	size_t prefix_len; /* ResourceLogs opened and its Resource, the same in every request */
	size_t scope_at;   /* where the open ScopeLogs has its length */
	enum scope scope;
	struct {
		uint8_t *data;
		size_t len;
	} scopes[SCOPE_COUNT]; /* ScopeLogs' scope field, packed once */
};

struct attribute_value {
	struct str key;
	struct str value;
};

static size_t varint_len(uint64_t value)
{
	return ((size_t)(63 - __builtin_clzll(value | 1)) * 9 + 73) / 64;
}

static uint8_t *put_varint(uint8_t *to, uint64_t value)
{
	while (value >= 0x80) {
		*to++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*to++ = (uint8_t)value;
	return to;
}

static void put_open_length(uint8_t *to, size_t len)
{
	for (int i = 0; i < OPEN_LENGTH - 1; i++, len >>= 7)
		*to++ = (uint8_t)(len | 0x80);
	*to = (uint8_t)len;
}

static uint8_t *put_fixed64(uint8_t *to, uint8_t tag, uint64_t value)
{
	*to++ = tag;
	value = htole64(value);
	memcpy(to, &value, sizeof(value));
	return to + sizeof(value);
}

static uint8_t *put_bytes(uint8_t *to, uint8_t tag, const void *data, size_t len)
{
	*to++ = tag;
	to = put_varint(to, len);
	if (len)
		memcpy(to, data, len);
	return to + len;
}

static uint8_t *put_text(uint8_t *to, uint8_t tag, struct str text)
{
	to = put_bytes(to, tag, text.data, text.len);
	utf8__mend((char *)to - text.len, text.len);
	return to;
}

/* A length-delimited field with a tag of one byte. */
static size_t field_len(size_t len)
{
	return 1 + varint_len(len) + len;
}

static size_t attribute_len(const struct attribute_value *attribute)
{
	return field_len(attribute->key.len) + field_len(field_len(attribute->value.len));
}

static uint8_t *put_attribute(uint8_t *to, const struct attribute_value *attribute)
{
	*to++ = TAG_BYTES(RECORD_ATTRIBUTES);
	to = put_varint(to, attribute_len(attribute));
	to = put_bytes(to, TAG_BYTES(KEY_VALUE_KEY), attribute->key.data, attribute->key.len);
	*to++ = TAG_BYTES(KEY_VALUE_VALUE);
	to = put_varint(to, field_len(attribute->value.len));
	return put_text(to, TAG_BYTES(ANY_VALUE_STRING), attribute->value);
}

/* The exported attributes, and no others: design.md, "Record". Unknown ones are absent. */
static size_t collect(const struct record *record, struct attribute_value *ret)
{
	const struct replica *replica = record->replica;
	const struct attribute_value all[ATTRIBUTES_MAX] = {
		{ STR("message"), record->message },
		{ STR("request_id"), record->request_id },
		{ STR("replica"), replica->replica },
		{ STR("model_id"), replica->model_id },
		{ STR("model_version_id"), replica->model_version_id },
		{ STR("environment"), replica->environment },
		{ STR("chainlet_id"), replica->chainlet_id },
		{ STR("training_job_id"), replica->training_job_id },
		{ STR("exc_info"), record->exc_info },
	};
	size_t count = 0;

	for (size_t i = 0; i < ATTRIBUTES_MAX; i++)
		if (all[i].value.len)
			ret[count++] = all[i];
	return count;
}

static int reserve(struct otlp *otlp, size_t len)
{
	size_t size = otlp->size ? otlp->size : BUFFER_MIN;
	uint8_t *grown;

	if (otlp->len + len <= otlp->size)
		return 0;
	while (size < otlp->len + len)
		size *= 2;
	grown = realloc(otlp->data, size);
	if (!grown)
		return -ENOMEM;
	otlp->data = grown;
	otlp->size = size;
	return 0;
}

static size_t record_len(const struct record *record, const struct attribute_value *attributes,
			 size_t count, struct str severity)
{
	size_t len = 9 + 9 + field_len(field_len(record->body.len));

	if (record->severity)
		len += 1 + varint_len(record->severity) + field_len(severity.len);
	if (record->has_trace)
		len += field_len(16) + field_len(8) + 5;
	for (size_t i = 0; i < count; i++)
		len += field_len(attribute_len(&attributes[i]));
	return len;
}

static uint8_t *put_trace(uint8_t *to, const struct record *record)
{
	*to++ = TAG_FIXED32(RECORD_FLAGS);
	*to++ = record->trace_flags;
	memset(to, 0, 3);
	to = put_bytes(to + 3, TAG_BYTES(RECORD_TRACE_ID), record->trace_id, 16);
	return put_bytes(to, TAG_BYTES(RECORD_SPAN_ID), record->span_id, 8);
}

static uint8_t *put_record(uint8_t *to, const struct record *record)
{
	struct str severity = str_from(severity_text(record->severity));
	struct attribute_value attributes[ATTRIBUTES_MAX];
	size_t count = collect(record, attributes);

	*to++ = TAG_BYTES(SCOPE_LOGS_RECORDS);
	to = put_varint(to, record_len(record, attributes, count, severity));
	to = put_fixed64(to, TAG_FIXED64(RECORD_TIME), record->time_ns);
	to = put_fixed64(to, TAG_FIXED64(RECORD_OBSERVED), record->observed_ns);
	if (record->severity) {
		*to++ = TAG_VARINT(RECORD_SEVERITY_NUMBER);
		to = put_varint(to, record->severity);
		to = put_bytes(to, TAG_BYTES(RECORD_SEVERITY_TEXT), severity.data, severity.len);
	}
	*to++ = TAG_BYTES(RECORD_BODY);
	to = put_varint(to, field_len(record->body.len));
	to = put_text(to, TAG_BYTES(ANY_VALUE_STRING), record->body);
	for (size_t i = 0; i < count; i++)
		to = put_attribute(to, &attributes[i]);
	return record->has_trace ? put_trace(to, record) : to;
}

static void close_scope(struct otlp *otlp)
{
	if (otlp->scope_at)
		put_open_length(otlp->data + otlp->scope_at,
				otlp->len - otlp->scope_at - OPEN_LENGTH);
}

/* The caller has reserved. */
static void open_scope(struct otlp *otlp, enum scope scope)
{
	close_scope(otlp);
	otlp->data[otlp->len] = TAG_BYTES(RESOURCE_LOGS_SCOPE_LOGS);
	otlp->scope_at = otlp->len + 1;
	otlp->scope = scope;
	otlp->len += 1 + OPEN_LENGTH;
	memcpy(otlp->data + otlp->len, otlp->scopes[scope].data, otlp->scopes[scope].len);
	otlp->len += otlp->scopes[scope].len;
}

int otlp__record(struct otlp *otlp, const struct record *record)
{
	const struct replica *replica = record->replica;
	size_t len = RECORD_OVERHEAD + otlp->scopes[record->scope].len + record->body.len +
		     record->message.len + record->exc_info.len + record->request_id.len +
		     replica->replica.len + replica->model_id.len + replica->model_version_id.len +
		     replica->environment.len + replica->chainlet_id.len +
		     replica->training_job_id.len;
	int err = reserve(otlp, len);

	if (err)
		return err;
	if (!otlp->scope_at || otlp->scope != record->scope)
		open_scope(otlp, record->scope);
	otlp->len = (size_t)(put_record(otlp->data + otlp->len, record) - otlp->data);
	return 0;
}

size_t otlp__len(const struct otlp *otlp)
{
	return otlp->scope_at ? otlp->len : 0;
}

void otlp__finish(struct otlp *otlp, const uint8_t **ret_data, size_t *ret_len)
{
	close_scope(otlp);
	put_open_length(otlp->data + 1, otlp->len - 1 - OPEN_LENGTH);
	*ret_data = otlp->data;
	*ret_len = otlp->len;
}

void otlp__reset(struct otlp *otlp)
{
	otlp->len = otlp->prefix_len;
	otlp->scope_at = 0;
}

/* The request as far as it is always the same: ResourceLogs opened, with its Resource. */
static int pack_prefix(struct otlp *otlp, const char *service_name)
{
	Otlp__AnyValue value = OTLP__ANY_VALUE__INIT;
	Otlp__KeyValue attribute = OTLP__KEY_VALUE__INIT;
	Otlp__KeyValue *attributes[] = { &attribute };
	Otlp__Resource resource = OTLP__RESOURCE__INIT;
	Otlp__ResourceLogs logs = OTLP__RESOURCE_LOGS__INIT;
	int err;

	value.value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
	value.string_value = (char *)(uintptr_t)service_name;
	attribute.key = "service.name";
	attribute.value = &value;
	resource.attributes = attributes;
	resource.n_attributes = 1;
	logs.resource = &resource;
	err = reserve(otlp, 1 + OPEN_LENGTH + otlp__resource_logs__get_packed_size(&logs));
	if (err)
		return err;
	otlp->data[0] = TAG_BYTES(REQUEST_RESOURCE_LOGS);
	otlp->prefix_len =
		1 + OPEN_LENGTH + otlp__resource_logs__pack(&logs, otlp->data + 1 + OPEN_LENGTH);
	otlp__reset(otlp);
	return 0;
}

static int pack_scope(struct otlp *otlp, enum scope which)
{
	char name[32] = "reqtap.";
	Otlp__InstrumentationScope scope = OTLP__INSTRUMENTATION_SCOPE__INIT;
	Otlp__ScopeLogs logs = OTLP__SCOPE_LOGS__INIT;

	strncat(name, scope_name(which), sizeof(name) - strlen(name) - 1);
	scope.name = name;
	scope.version = REQTAP_VERSION;
	logs.scope = &scope;
	otlp->scopes[which].data = malloc(otlp__scope_logs__get_packed_size(&logs));
	if (!otlp->scopes[which].data)
		return -ENOMEM;
	otlp->scopes[which].len = otlp__scope_logs__pack(&logs, otlp->scopes[which].data);
	return 0;
}

struct otlp *otlp__new(const char *service_name)
{
	struct otlp *otlp = calloc(1, sizeof(*otlp));

	if (!otlp)
		return NULL;
	if (pack_prefix(otlp, service_name) < 0)
		return otlp__free(otlp);
	for (enum scope scope = 0; scope < SCOPE_COUNT; scope++)
		if (pack_scope(otlp, scope) < 0)
			return otlp__free(otlp);
	return otlp;
}

struct otlp *otlp__free(struct otlp *otlp)
{
	if (!otlp)
		return NULL;
	for (enum scope scope = 0; scope < SCOPE_COUNT; scope++)
		free(otlp->scopes[scope].data);
	free(otlp->data);
	free(otlp);
	return NULL;
}
