/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include "agent/level.h"

static const struct {
	const char *line;
	enum severity severity;
} cases[] = {
	{ "INFO:     127.0.0.1:5 - \"POST /v1 HTTP/1.1\" 200 OK", SEVERITY_INFO },
	{ "\x1b[32mINFO\x1b[0m:     Started server process [1]", SEVERITY_INFO },
	{ "I0316 12:00:00.123456 1 http_server.cc:4362] Started", SEVERITY_INFO },
	{ "E0316 12:00:00.123456 1 model.cc:1] failed", SEVERITY_ERROR },
	{ "2026-03-16T12:00:00.1Z  INFO text_router::server: up", SEVERITY_INFO },
	{ "2026-03-16T12:00:00.1Z \x1b[33m WARN\x1b[0m router: slow", SEVERITY_WARN },
	{ "time=2026-03-16T12:00:00Z level=warning msg=\"INFO\"", SEVERITY_WARN },
	{ "(APIServer pid=7) INFO 03-16 12:00:00 [loggers.py:248] x", SEVERITY_INFO },
	{ "2026-03-16 12:00:00,123 - lmdeploy - ERROR - f.py:1 - x", SEVERITY_ERROR },
	{ "WARNING:root:careful", SEVERITY_WARN },
	{ "[DEBUG] Request received", SEVERITY_DEBUG },
	{ "CRITICAL it burns", SEVERITY_FATAL },
	{ "2026/03/16 12:00:00 [error] 7#7: x", SEVERITY_ERROR },
	{ "[2026-03-16 12:00:00 TP0] Prefill batch", SEVERITY_UNSET },
	{ "got prompt", SEVERITY_UNSET },
	{ "the error was found", SEVERITY_UNSET },
	{ "Information for you", SEVERITY_UNSET },
	{ "level", SEVERITY_UNSET },
	{ "", SEVERITY_UNSET },
};

static void test_lines(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum severity severity = level__from_line(str_from(cases[i].line));

		if (severity != cases[i].severity)
			fail_msg("%s: %d", cases[i].line, (int)severity);
	}
}

static void test_words(void **state)
{
	assert_int_equal(level__from_word(STR("Warning")), SEVERITY_WARN);
	assert_int_equal(level__from_word(STR("critical")), SEVERITY_FATAL);
	assert_int_equal(level__from_word(STR("informal")), SEVERITY_UNSET);
	assert_int_equal(level__from_word(STR("")), SEVERITY_UNSET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
