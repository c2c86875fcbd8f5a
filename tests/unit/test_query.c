/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <errno.h>
#include "agent/query.h"

static struct query query;
static struct query_problem problem;

static int parse(const char *text)
{
	return query__parse(str_from(text), &query, &problem);
}

static void expect(enum query_field field, unsigned index, const char *value)
{
	assert_true(index < query.terms[field].count);
	assert_int_equal(query.terms[field].items[index].len, strlen(value));
	assert_memory_equal(query.terms[field].items[index].data, value, strlen(value));
}

static void words_and_phrases(void **state)
{
	assert_int_equal(parse("  Out of  MEMORY \"Took too LONG\" "), 0);
	assert_int_equal(query.terms[QUERY_WORD].count, 4);
	expect(QUERY_WORD, 0, "out");
	expect(QUERY_WORD, 2, "memory");
	expect(QUERY_WORD, 3, "took too long");
	assert_int_equal(parse("\"say \\\"no\\\" c:\\\\x \\n\""), 0);
	expect(QUERY_WORD, 0, "say \"no\" c:\\x \\n");
	assert_int_equal(parse(""), 0);
	assert_int_equal(query.terms[QUERY_WORD].count, 0);
}

static void every_prefix(void **state)
{
	assert_int_equal(parse("requestId:AbC replica:b4x9z environment:\"my prod\" deployment:d1 "
			       "model:m1 level:warn REQUESTID:second"),
			 0);
	expect(QUERY_REQUEST, 0, "AbC");
	expect(QUERY_REQUEST, 1, "second");
	expect(QUERY_REPLICA, 0, "b4x9z");
	expect(QUERY_ENVIRONMENT, 0, "my prod");
	expect(QUERY_DEPLOYMENT, 0, "d1");
	expect(QUERY_MODEL, 0, "m1");
	assert_int_equal(query.level, SEVERITY_WARN);
	assert_int_equal(query.terms[QUERY_WORD].count, 0);
	assert_int_equal(parse("level:Critical"), 0);
	assert_int_equal(query.level, SEVERITY_FATAL);
}

static void colons_in_words(void **state)
{
	assert_int_equal(parse("http://x:80 12:34:56 ValueError: \"request_id: x\""), 0);
	assert_int_equal(query.terms[QUERY_WORD].count, 4);
	expect(QUERY_WORD, 0, "http://x:80");
	expect(QUERY_WORD, 2, "valueerror:");
}

static void refuse(const char *text, size_t at, size_t len, const char *right)
{
	char line[512];

	assert_int_equal(parse(text), -EINVAL);
	assert_int_equal(problem.at, at);
	assert_int_equal(problem.len, len);
	query__explain(str_from(text), &problem, line, sizeof(line));
	assert_non_null(strstr(line, right));
	assert_null(strchr(line, '\n'));
}

static void mistakes_are_marked(void **state)
{
	refuse("x level:loud y", 8, 4, "x level:>>>loud<<< y; give debug, info");
	refuse("\"open", 0, 5, "end the phrase");
	refuse("a requestId: b", 2, 10, "just behind requestId:");
	refuse("request_id:abc", 0, 11, "give requestId:");
	refuse("env:prod", 0, 4, "give environment:");
	refuse("\"a\"b", 3, 1, "put a blank between");
	refuse("\"\"", 0, 2, "give a word");
}

static void bounds(void **state)
{
	static char text[QUERY_MAX_BYTES + 2];

	memset(text, 'x', QUERY_MAX_BYTES + 1);
	assert_int_equal(parse(text), -E2BIG);
	text[QUERY_MAX_BYTES] = '\0';
	assert_int_equal(parse(text), 0);
	assert_int_equal(query.terms[QUERY_WORD].items[0].len, QUERY_MAX_BYTES);
	for (int i = 0; i < QUERY_MAX_BYTES; i++)
		text[i] = i % 2 ? ' ' : 'x';
	text[2 * QUERY_TERMS_MAX] = '\0';
	assert_int_equal(parse(text), 0);
	text[2 * QUERY_TERMS_MAX] = 'x';
	assert_int_equal(parse(text), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_and_phrases),
		cmocka_unit_test(every_prefix),
		cmocka_unit_test(colons_in_words),
		cmocka_unit_test(mistakes_are_marked),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
