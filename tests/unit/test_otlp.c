/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "agent/batch.h"
#include "agent/otlp.h"
#include "agent/utf8.h"
#include "proto/otlp.pb-c.h"
#include "tests/unit/unit.h"

static const struct replica nobody;
static const struct replica somebody = {
	.container = 7,
	.replica = { "abcde", 5 },
	.model_id = { "m1", 2 },
	.environment = { "production", 10 },
};

static struct record text_record(const char *text)
{
	return (struct record){
		.time_ns = 1,
		.observed_ns = 2,
		.body = str_from(text),
		.message = str_from(text),
		.replica = &nobody,
	};
}

static Otlp__ExportLogsServiceRequest *decode(struct otlp *otlp)
{
	Otlp__ExportLogsServiceRequest *request;
	const uint8_t *data;
	size_t len;

	otlp__finish(otlp, &data, &len);
	request = otlp__export_logs_service_request__unpack(NULL, len, data);
	assert_non_null(request);
	assert_int_equal(request->n_resource_logs, 1);
	return request;
}

static const char *attribute(const Otlp__LogRecord *record, const char *key)
{
	for (size_t i = 0; i < record->n_attributes; i++)
		if (strcmp(record->attributes[i]->key, key) == 0)
			return record->attributes[i]->value->string_value;
	return NULL;
}

static void test_full_record(void **state)
{
	struct otlp *otlp = otlp__new("baseten");
	struct record record = text_record("{\"message\": \"hello\"}");
	Otlp__ExportLogsServiceRequest *request;
	Otlp__LogRecord *log;

	record.message = STR("hello");
	record.severity = SEVERITY_ERROR;
	record.request_id = STR("31255019cf83c4d0c7492a5006591e1f502a5");
	record.exc_info = STR("Traceback");
	record.replica = &somebody;
	record.has_trace = true;
	record.trace_flags = 1;
	memset(record.trace_id, 0xab, 16);
	memset(record.span_id, 0xcd, 8);
	assert_int_equal(otlp__record(otlp, &record), 0);
	request = decode(otlp);
	assert_string_equal(request->resource_logs[0]->resource->attributes[0]->value->string_value,
			    "baseten");
	assert_string_equal(request->resource_logs[0]->scope_logs[0]->scope->name,
			    "reqtap.serving");
	log = request->resource_logs[0]->scope_logs[0]->log_records[0];
	assert_int_equal(log->time_unix_nano, 1);
	assert_int_equal(log->observed_time_unix_nano, 2);
	assert_int_equal(log->severity_number, 17);
	assert_string_equal(log->severity_text, "ERROR");
	assert_string_equal(log->body->string_value, "{\"message\": \"hello\"}");
	assert_int_equal(log->n_attributes, 6);
	assert_string_equal(attribute(log, "message"), "hello");
	assert_string_equal(attribute(log, "request_id"), "31255019cf83c4d0c7492a5006591e1f502a5");
	assert_string_equal(attribute(log, "replica"), "abcde");
	assert_string_equal(attribute(log, "exc_info"), "Traceback");
	assert_null(attribute(log, "chainlet_id"));
	assert_int_equal(log->flags, 1);
	assert_int_equal(log->trace_id.len, 16);
	assert_memory_equal(log->span_id.data, record.span_id, 8);
	otlp__export_logs_service_request__free_unpacked(request, NULL);
	otlp__free(otlp);
}

/* Lengths around each size of a varint, and what is unknown is absent. */
static void test_lengths(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 115, 127, 128, 16000, 16383, 16384, 300000 };
	struct otlp *otlp = otlp__new("baseten");
	Otlp__ExportLogsServiceRequest *request;
	char *text = malloc(300001);

	memset(text, 'x', 300001);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct record record = text_record("");

		record.body = record.message = (struct str){ text, sizes[i] };
		assert_int_equal(otlp__record(otlp, &record), 0);
	}
	request = decode(otlp);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		Otlp__LogRecord *log = request->resource_logs[0]->scope_logs[0]->log_records[i];

		assert_int_equal(strlen(log->body->string_value), sizes[i]);
		assert_int_equal(log->n_attributes, sizes[i] ? 1 : 0);
		assert_int_equal(log->severity_number, 0);
		assert_string_equal(log->severity_text, "");
		assert_int_equal(log->trace_id.len, 0);
	}
	otlp__export_logs_service_request__free_unpacked(request, NULL);
	free(text);
	otlp__free(otlp);
}

static void test_scopes_and_reset(void **state)
{
	static const enum scope scopes[] = { SCOPE_SERVING, SCOPE_BUILD, SCOPE_BUILD,
					     SCOPE_DEPLOY };
	struct otlp *otlp = otlp__new("baseten");
	Otlp__ExportLogsServiceRequest *request;

	for (int round = 0; round < 2; round++) {
		assert_int_equal(otlp__len(otlp), 0);
		for (size_t i = 0; i < 4; i++) {
			struct record record = text_record("x");

			record.scope = scopes[i];
			otlp__record(otlp, &record);
		}
		request = decode(otlp);
		assert_int_equal(request->resource_logs[0]->n_scope_logs, 3);
		assert_string_equal(request->resource_logs[0]->scope_logs[1]->scope->name,
				    "reqtap.build");
		assert_int_equal(request->resource_logs[0]->scope_logs[1]->n_log_records, 2);
		otlp__export_logs_service_request__free_unpacked(request, NULL);
		otlp__reset(otlp);
	}
	otlp__free(otlp);
}

static void test_bad_utf8_is_mended(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9" },
		{ "a\xff", "a?" },
		{ "\xc3", "?" },
		{ "\xed\xa0\x80", "???" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "\xf4\x90\x80\x80", "????" },
		{ "\xc0\xaf", "??" },
		{ "12345678\xe2\x82", "12345678??" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[32];

		strcpy(text, cases[i].in);
		utf8__mend(text, strlen(text));
		assert_string_equal(text, cases[i].out);
	}
}

static void test_answers(void **state)
{
	static const uint8_t partial[] = {
		0x0a, 0x08, 0x08, 0x03, 0x12, 0x04, 'a', '\n', 'b', 'c'
	};
	static const uint8_t negative[] = { 0x0a, 0x0b, 0x08, 0xff, 0xff, 0xff, 0xff,
					    0xff, 0xff, 0xff, 0xff, 0xff, 0x01 };
	static const uint8_t status[] = { 0x08, 0x03, 0x12, 0x02, 'n', 'o' };
	struct otlp_answer answer;

	assert_int_equal(otlp__decode_response(partial, sizeof(partial), &answer), 0);
	assert_int_equal(answer.rejected, 3);
	assert_string_equal(answer.message, "a bc");
	assert_int_equal(otlp__decode_response(negative, sizeof(negative), &answer), 0);
	assert_int_equal(answer.rejected, 0);
	assert_int_equal(otlp__decode_response(NULL, 0, &answer), 0);
	assert_int_equal(otlp__decode_response((const uint8_t *)"\xff", 1, &answer), -EBADMSG);
	assert_int_equal(otlp__decode_status(status, sizeof(status), &answer), 0);
	assert_string_equal(answer.message, "no");
}

static void test_split(void **state)
{
	struct otlp *otlp = otlp__new("baseten");
	struct otlp_half halves[2];
	const uint8_t *data;
	size_t len, seen = 0;

	for (int i = 0; i < 7; i++) {
		struct record record = text_record("x");

		record.time_ns = (uint64_t)i;
		record.scope = i < 2 ? SCOPE_SERVING : SCOPE_BUILD;
		otlp__record(otlp, &record);
	}
	otlp__finish(otlp, &data, &len);
	assert_int_equal(otlp__split(data, len, halves), 0);
	assert_int_equal(halves[0].records, 3);
	assert_int_equal(halves[1].records, 4);
	for (int i = 0; i < 2; i++) {
		Otlp__ExportLogsServiceRequest *request = otlp__export_logs_service_request__unpack(
			NULL, halves[i].len, halves[i].data);
		Otlp__ResourceLogs *logs = request->resource_logs[0];

		for (size_t j = 0; j < logs->n_scope_logs; j++)
			for (size_t k = 0; k < logs->scope_logs[j]->n_log_records; k++)
				assert_int_equal(
					logs->scope_logs[j]->log_records[k]->time_unix_nano,
					seen++);
		otlp__export_logs_service_request__free_unpacked(request, NULL);
		free(halves[i].data);
	}
	assert_int_equal(seen, 7);
	otlp__reset(otlp);
	otlp__record(otlp, &(struct record){ .replica = &nobody });
	otlp__finish(otlp, &data, &len);
	assert_int_equal(otlp__split(data, len, halves), -ENOENT);
	assert_int_equal(otlp__split((const uint8_t *)"\xff", 1, halves), -EBADMSG);
	otlp__free(otlp);
}

struct taken {
	unsigned payloads;
	uint32_t records;
	size_t raw_len;
};

static int take(void *ctx, const struct payload *payload)
{
	struct taken *taken = ctx;

	taken->payloads++;
	taken->records += payload->records;
	taken->raw_len = payload->raw_len;
	return 0;
}

static void test_batch_closes(void **state)
{
	const struct batch_limits limits = { .max_bytes = 4096, .max_records = 50 };
	struct taken taken = { 0 };
	struct batch *batch = batch__new(&limits, COMPRESSION_GZIP, "baseten", take, &taken);
	struct record record = text_record("x");
	char big[3000];

	/* Trickle: few records go early; more wait for their full age. */
	assert_int_equal(batch__tick(batch, 1), UINT64_MAX);
	batch__add(batch, &record, 1000);
	assert_int_equal(batch__tick(batch, 1000), 1000 + BATCH_TRICKLE_AGE_NS);
	assert_int_equal(batch__tick(batch, 1000 + BATCH_TRICKLE_AGE_NS), UINT64_MAX);
	assert_int_equal(taken.payloads, 1);
	for (int i = 0; i < 10; i++)
		batch__add(batch, &record, 1000);
	assert_int_equal(batch__tick(batch, 1000 + BATCH_TRICKLE_AGE_NS), 200001000);
	batch__tick(batch, 200001000);
	assert_int_equal(taken.payloads, 2);
	/* By count. */
	for (int i = 0; i < 51; i++)
		batch__add(batch, &record, 0);
	assert_int_equal(taken.payloads, 3);
	assert_int_equal(batch__records(batch), 1);
	batch__flush(batch);
	/* By bytes; a record larger than the bound goes alone. */
	memset(big, 'y', sizeof(big));
	record.body = (struct str){ big, sizeof(big) };
	for (int i = 0; i < 3; i++)
		batch__add(batch, &record, 0);
	assert_int_equal(taken.payloads, 6);
	assert_true(taken.raw_len <= 4096);
	batch__discard(batch);
	assert_int_equal(batch__flush(batch), 0);
	assert_int_equal(taken.payloads, 6);
	batch__free(batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_record),      cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_scopes_and_reset), cmocka_unit_test(test_bad_utf8_is_mended),
		cmocka_unit_test(test_answers),          cmocka_unit_test(test_split),
		cmocka_unit_test(test_batch_closes),
	};

	return cmocka_run_group_tests_name("otlp", tests, NULL, NULL);
}
