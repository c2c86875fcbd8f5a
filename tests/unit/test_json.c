/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <errno.h>
#include <stdio.h>
#include "agent/json.h"

static struct json_reader *reader;

static int setup(void **state)
{
	reader = json_reader__new();
	return reader ? 0 : -1;
}

static int teardown(void **state)
{
	reader = json_reader__free(reader);
	return 0;
}

static struct json_line read_line(const char *text)
{
	struct json_line json;

	assert_int_equal(json_reader__line(reader, str_from(text), &json), 0);
	return json;
}

static void assert_str(struct str s, const char *want)
{
	assert_int_equal(s.len, strlen(want));
	assert_memory_equal(s.data, want, s.len);
}

static void test_truss(void **state)
{
	struct json_line json =
		read_line("{\"asctime\": \"2026-01-01 00:00:00,001\", \"levelname\": \"ERROR\", "
			  "\"message\": \"no\","
			  " \"exc_info\": \"Traceback\\nKeyError\", \"request_id\": \"r1\"}");

	assert_str(json.message, "no");
	assert_str(json.exc_info, "Traceback\nKeyError");
	assert_str(json.request_id, "r1");
	assert_int_equal(json.severity, SEVERITY_ERROR);
}

static void test_custom_server(void **state)
{
	struct json_line json =
		read_line("{\"level\":\"warning\",\"message\":\"slow\",\"request_id\":\"r2\"}");

	assert_str(json.message, "slow");
	assert_str(json.request_id, "r2");
	assert_int_equal(json.severity, SEVERITY_WARN);
	assert_null(json.exc_info.data);
}

static void test_numeric_level(void **state)
{
	assert_int_equal(read_line("{\"level\":50,\"msg\":\"a\"}").severity, SEVERITY_ERROR);
	assert_int_equal(read_line("{\"level\":10}").severity, SEVERITY_DEBUG);
	assert_int_equal(read_line("{\"level\":70}").severity, SEVERITY_UNSET);
	assert_int_equal(read_line("{\"level\":5}").severity, SEVERITY_UNSET);
	assert_str(read_line("{\"msg\":\"a\",\"message\":\"b\"}").message, "b");
	assert_str(read_line("{\"message\":\"b\",\"msg\":\"a\"}").message, "b");
}

static void test_escapes(void **state)
{
	assert_str(read_line("{\"message\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}").message,
		   "\"\\/\b\f\n\r\t");
	assert_str(read_line("{\"message\":\"\\u0041\\u00e9\\u20AC.\"}").message,
		   "A\xc3\xa9\xe2\x82\xac.");
}

static void test_surrogates(void **state)
{
	assert_str(read_line("{\"message\":\"\\ud83d\\ude00!\"}").message, "\xf0\x9f\x98\x80!");
	assert_str(read_line("{\"message\":\"\\ud83d!\"}").message, "\xef\xbf\xbd!");
	assert_str(read_line("{\"message\":\"\\ude00\\ud83d\"}").message,
		   "\xef\xbf\xbd\xef\xbf\xbd");
	assert_str(read_line("{\"message\":\"\\ud83d\\u0041\"}").message, "\xef\xbf\xbd"
									  "A");
}

static void test_nested_does_not_leak(void **state)
{
	struct json_line json = read_line(
		"{\"a\":{\"request_id\":\"x\",\"level\":\"error\"},\"b\":[{\"request_id\":"
		"\"y\"},\"request_id\",\"z\"],\"message\":\"m\"}");

	assert_null(json.request_id.data);
	assert_int_equal(json.severity, SEVERITY_UNSET);
	assert_str(json.message, "m");
	/* a value that is a name is no member */
	assert_null(read_line("{\"a\":\"request_id\",\"b\":\"c\"}").request_id.data);
	assert_null(read_line("{\"request_id\":17,\"message\":null}").request_id.data);
}

static void test_not_an_object(void **state)
{
	static const char *const lines[] = { "",           "{",
					     "[1]",        "\"a\"",
					     "{\"a\":1",   "{\"a\":1}{\"b\":2}",
					     "{\"a\":1} ", "{\"a\":1}, b}",
					     "{'a': 1}" };
	struct json_line json;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (json_reader__line(reader, str_from(lines[i]), &json) != -EINVAL)
			fail_msg("taken: %s", lines[i]);
}

static void test_depth(void **state)
{
	char text[512];
	struct json_line json;

	for (int depth = JSON_DEPTH; depth <= JSON_DEPTH + 1; depth++) {
		size_t len = sprintf(text, "{\"message\":\"m\",\"a\":");

		for (int i = 0; i < depth; i++)
			len += sprintf(text + len, "[");
		for (int i = 0; i < depth; i++)
			len += sprintf(text + len, "]");
		sprintf(text + len, "}");
		assert_int_equal(json_reader__line(reader, str_from(text), &json),
				 depth > JSON_DEPTH ? -EINVAL : 0);
	}
	assert_null(json.message.data);
}

static void test_grammar(void **state)
{
	static const char *const good[] = {
		"{}",
		"{ }",
		"{\"a\":[]}",
		"{\"a\":{}}",
		"{\"a\" : [ 1 , \"2\" , { \"b\" : null } ] , \"c\" : -1.5e3 }",
		"{\"a\":[[],{},[{}]],\"b\":true}",
		"{\"a\":\"\\\\\"}"
	};
	static const char *const bad[] = {
		"{\"a\"}",      "{\"a\":}",     "{\"a\":1,}",      "{,\"a\":1}",
		"{\"a\":1 2}",  "{\"a\":[1,]}", "{\"a\":[1}",      "{\"a\":{\"b\"}}",
		"{\"a\":{1}}",  "{\"a\":\"}",   "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}",
		"{\"a\":[1]]}", "{\"a\":x}",    "{\"a\":\"\\\"}",  "{\"a\":{\"b\":1,}}"
	};
	struct json_line json;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (json_reader__line(reader, str_from(good[i]), &json))
			fail_msg("not taken: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (json_reader__line(reader, str_from(bad[i]), &json) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truss),         cmocka_unit_test(test_custom_server),
		cmocka_unit_test(test_numeric_level), cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_surrogates),    cmocka_unit_test(test_nested_does_not_leak),
		cmocka_unit_test(test_not_an_object), cmocka_unit_test(test_depth),
		cmocka_unit_test(test_grammar),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
