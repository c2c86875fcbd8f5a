/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <errno.h>
#include <stdlib.h>
#include "agent/console.h"
#include "bpf/event.h"

static const struct replica nobody;
static const struct replica replica = { .replica = STR("ab12c"), .model_id = STR("m\"1") };

/* What the console writes of `record`; the caller frees. */
static char *written(const struct record *record, enum console_format format, bool colour)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct console *console = console__new(out, format, colour);

	assert_non_null(console);
	console__record(console, record);
	assert_int_equal(console__flush(console), 0);
	console__free(console);
	fclose(out);
	return text;
}

static void assert_json(const struct record *record, const char *want)
{
	char *text = written(record, CONSOLE_JSON, false);

	assert_string_equal(text, want);
	free(text);
}

static void test_json_has_what_is_known(void **state)
{
	const struct record bare = { .time_ns = 1, .replica = &nobody };
	const struct record full = {
		.time_ns = 1700000000123456789ULL,
		.severity = SEVERITY_ERROR,
		.message = STR("said \"no\"\n\x01\x7f\xc3\xa9"),
		.exc_info = STR("Traceback"),
		.request_id = STR("r1"),
		.evidence = EVIDENCE_THREAD,
		.replica = &replica,
		.stream = RT_STREAM_STDERR,
		.tgid = 7,
		.tid = 8,
	};

	assert_json(&bare, "{\"time\":\"1970-01-01T00:00:00.000000001Z\",\"message\":\"\"}\n");
	assert_json(
		&full,
		"{\"time\":\"2023-11-14T22:13:20.123456789Z\",\"severity_text\":\"ERROR\","
		"\"severity_number\":17,\"message\":\"said \\\"no\\\"\\n\\u0001\\u007f\xc3\xa9\","
		"\"request_id\":\"r1\",\"replica\":\"ab12c\",\"model_id\":\"m\\\"1\","
		"\"exc_info\":\"Traceback\",\"stream\":\"stderr\",\"pid\":7,\"tid\":8,"
		"\"evidence\":\"thread\"}\n");
}

/* A line is hostile input to a terminal. */
static void test_pretty_sends_no_control(void **state)
{
	const struct record record = { .message = STR("a\033[2Jb\xc2\x9b"
						      "1m\x07\tc"),
				       .request_id = STR("id\033c"),
				       .replica = &replica };
	char *text = written(&record, CONSOLE_PRETTY, false);

	assert_non_null(strstr(text, "ab12c id\\x1bc a\\x1b[2Jb\\xc2\\x9b1m\\x07\tc\n"));
	for (const char *c = text; *c; c++)
		assert_true((unsigned char)*c >= ' ' || *c == '\n' || *c == '\t');
	free(text);
}

static void test_colour_is_by_request(void **state)
{
	struct record record = { .message = STR("m"),
				 .request_id = STR("one"),
				 .severity = SEVERITY_WARN,
				 .replica = &nobody };
	char *one = written(&record, CONSOLE_PRETTY, true), *again, *other;

	again = written(&record, CONSOLE_PRETTY, true);
	record.request_id = STR("two");
	other = written(&record, CONSOLE_PRETTY, true);
	assert_string_equal(one, again);
	assert_non_null(strstr(one, "\033[33mWARN \033[0m"));
	assert_int_not_equal(strtoul(strstr(one, "38;5;") + 5, NULL, 10),
			     strtoul(strstr(other, "38;5;") + 5, NULL, 10));
	free(one);
	free(again);
	free(other);
}

static void test_traceback_once(void **state)
{
	struct record record = { .message = STR("failed"),
				 .exc_info = STR("Traceback\n  x"),
				 .replica = &nobody };
	char *text = written(&record, CONSOLE_PRETTY, false);

	assert_non_null(strstr(text, "failed\nTraceback\n  x\n"));
	free(text);
	record.message = record.exc_info;
	text = written(&record, CONSOLE_PRETTY, false);
	assert_null(strstr(strstr(text, "Traceback") + 1, "Traceback"));
	free(text);
}

static void test_none_and_gone(void **state)
{
	const struct record record = { .message = STR("m"), .replica = &nobody };
	char *text = written(&record, CONSOLE_NONE, false);
	FILE *full = fopen("/dev/full", "w");
	struct console *console = console__new(full, CONSOLE_JSON, false);

	assert_string_equal(text, "");
	free(text);
	console__record(console, &record);
	assert_int_equal(console__flush(console), -ENOSPC);
	console__free(console);
	fclose(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_has_what_is_known),
		cmocka_unit_test(test_pretty_sends_no_control),
		cmocka_unit_test(test_colour_is_by_request),
		cmocka_unit_test(test_traceback_once),
		cmocka_unit_test(test_none_and_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
