/* SPDX-License-Identifier: Apache-2.0 */
/* What history knows of a record, as JSON and CSV; test_console.c has what `run` shows. */
#include "tests/unit/unit.h"
#include <cjson/cJSON.h>
#include "agent/format.h"
#include "bpf/event.h"

static const struct replica nobody;
static const struct replica replica = { .replica = STR("b4x9z"),
					.model_id = STR("m1"),
					.model_version_id = STR("v1"),
					.environment = STR("production"),
					.chainlet_id = STR("c1"),
					.training_job_id = STR("t1") };

static const struct record full = {
	.time_ns = 1700000000123456789ULL,
	.observed_ns = 1700000000200000000ULL,
	.scope = SCOPE_DEPLOY,
	.severity = SEVERITY_WARN,
	.body = STR("{\"message\": \"hi\"}"),
	.message = STR("hi"),
	.exc_info = STR("Traceback"),
	.request_id = STR("r1"),
	.evidence = EVIDENCE_UNIT,
	.replica = &replica,
	.has_trace = true,
	.trace_id = { 0xab, [15] = 0x01 },
	.span_id = { 0xcd, [7] = 0x02 },
	.stream = RT_STREAM_STDOUT,
	.tgid = 7,
	.tid = 8,
};

static char *text;
static size_t len;

static FILE *begin(void)
{
	free(text);
	text = NULL;
	return open_memstream(&text, &len);
}

static cJSON *as_json(const struct record *record, const struct format_place *place)
{
	FILE *out = begin();
	cJSON *json;

	format__json(out, record, place);
	fclose(out);
	json = cJSON_ParseWithOpts(text, NULL, true);
	assert_non_null(json);
	return json;
}

static void expect(const cJSON *json, const char *name, const char *value)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);

	if (!item || !item->valuestring || strcmp(item->valuestring, value) != 0)
		fail_msg("%s is not %s in %s", name, value, text);
}

static void json_of_history(void **state)
{
	const struct format_place place = { 42, 3 };
	cJSON *json = as_json(&full, &place);

	/* a number would lose digits in a browser */
	expect(json, "timestamp", "1700000000123456789");
	expect(json, "time", "2023-11-14T22:13:20.123456789Z");
	expect(json, "observed_time", "2023-11-14T22:13:20.200000000Z");
	expect(json, "level", "WARN");
	expect(json, "message", "hi");
	expect(json, "body", "{\"message\": \"hi\"}");
	expect(json, "exc_info", "Traceback");
	expect(json, "request_id", "r1");
	expect(json, "evidence", "unit");
	expect(json, "replica", "b4x9z");
	expect(json, "model_id", "m1");
	expect(json, "model_version_id", "v1");
	expect(json, "environment", "production");
	expect(json, "chainlet_id", "c1");
	expect(json, "training_job_id", "t1");
	expect(json, "stream", "stdout");
	expect(json, "scope", "deploy");
	expect(json, "trace_id", "ab000000000000000000000000000001");
	expect(json, "span_id", "cd00000000000002");
	assert_int_equal(cJSON_GetObjectItem(json, "seq")->valueint, 42);
	assert_int_equal(cJSON_GetObjectItem(json, "missing")->valueint, 3);
	cJSON_Delete(json);
}

static void what_is_not_known_is_absent(void **state)
{
	const struct record bare = { .time_ns = 5, .replica = &nobody };
	const struct format_place place = { .seq = 1 };
	cJSON *json = as_json(&bare, &place);

	/* timestamp, time, message, seq, scope */
	assert_int_equal(cJSON_GetArraySize(json), 5);
	expect(json, "message", "");
	cJSON_Delete(json);
}

static void every_byte_of_a_line_comes_back_from_json(void **state)
{
	char line[0x80];
	struct record record = full;
	cJSON *json;

	for (int c = 1; c < 0x80; c++)
		line[c - 1] = (char)c;
	line[0x7f] = '\0';
	record.message = record.body = (struct str){ line, 0x7f };
	json = as_json(&record, NULL);
	expect(json, "message", line);
	cJSON_Delete(json);
	for (size_t i = 0; i < len; i++)
		assert_true((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

static void csv_quotes(void **state)
{
	struct record record = full;
	const struct record bare = { .time_ns = 5, .replica = &nobody };
	FILE *out = begin();
	unsigned commas = 0;

	record.message = STR("a \"b\",\r\nc");
	format__csv(out, &record);
	fclose(out);
	assert_string_equal(text, "1700000000123456789,2023-11-14T22:13:20.123456789Z,\"WARN\","
				  "\"b4x9z\",\"r1\",\"a \"\"b\"\",\r\nc\",\"Traceback\",\"m1\","
				  "\"v1\",\"production\",\"c1\",\"t1\",\"stdout\",7,8,unit\r\n");
	out = begin();
	format__csv_head(out);
	format__csv(out, &bare);
	fclose(out);
	/* as many columns in both lines */
	for (const char *c = text; *c; c++)
		commas += *c == ',';
	assert_int_equal(commas, 2 * 15);
	assert_non_null(strstr(text, "\r\n5,1970-01-01T00:00:00.000000005Z,,"));
}

static void a_date_where_it_is_asked_for(void **state)
{
	const struct format_style style = { .date = true };
	FILE *out = begin();

	setenv("TZ", "UTC", 1);
	format__pretty(out, &full, &style);
	fclose(out);
	assert_string_equal(text, "2023-11-14 22:13:20.123 WARN  b4x9z r1 hi\nTraceback\n");
}

static int tear_down(void **state)
{
	free(text);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_of_history),
		cmocka_unit_test(what_is_not_known_is_absent),
		cmocka_unit_test(every_byte_of_a_line_comes_back_from_json),
		cmocka_unit_test(csv_quotes),
		cmocka_unit_test(a_date_where_it_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, tear_down);
}
