/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include "agent/option_value.h"
#include "agent/options.h"

struct values {
	bool follow;
	const char *dir;
	struct option_list header;
	uint64_t limit;
	uint64_t line_max;
	uint64_t grace;
	int output;
};

static const char *const outputs[] = { "pretty", "json", NULL };

static const char *check_dir(const char *text)
{
	return text[0] == '/' ? NULL : "a full path";
}

#define VALUE(member) .offset = offsetof(struct values, member)

static const struct option_spec options[] = {
	{ .name = "follow", .letter = 'f', .type = OPTION_FLAG, VALUE(follow), .help = "follow" },
	{ .name = "dir", .letter = 'd', .type = OPTION_TEXT, VALUE(dir), .check = check_dir },
	{ .name = "header", .type = OPTION_LIST, VALUE(header) },
	{ .name = "limit",
	  .letter = 'n',
	  .type = OPTION_NUMBER,
	  VALUE(limit),
	  .min = 1,
	  .max = 100 },
	{ .name = "line-max", .type = OPTION_BYTES, VALUE(line_max), .min = 1024, .max = 16 << 20 },
	{ .name = "grace", .type = OPTION_DURATION, VALUE(grace) },
	{ .name = "output", .type = OPTION_CHOICE, VALUE(output), .choices = outputs },
	{ 0 },
};

static const struct command_spec spec = {
	.name = "test",
	.operands = "[WORD]...",
	.summary = "Tests.",
	.options = options,
	.operands_max = -1,
};

static int parse(const struct command_spec *with, struct values *values, const char *const *words)
{
	char *argv[16] = { (char *)"test" };
	int argc = 1;

	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)words[argc - 1];
	return options__parse(with, argc, argv, values);
}

#define PARSE(values, ...) parse(&spec, values, (const char *const[]){ __VA_ARGS__, NULL })

static void test_every_type(void **state)
{
	struct values v = { .line_max = 7 };

	assert_int_equal(PARSE(&v, "-f", "--dir=/tmp", "--header", "a", "--header=b", "-n", "5",
			       "--line-max", "256K", "--grace", "250ms", "--output", "json"),
			 14);
	assert_true(v.follow);
	assert_string_equal(v.dir, "/tmp");
	assert_int_equal(v.header.count, 2);
	assert_string_equal(v.header.items[1], "b");
	assert_null(v.header.items[2]);
	assert_int_equal(v.limit, 5);
	assert_int_equal(v.line_max, 256 * 1024);
	assert_int_equal(v.grace, 250000000);
	assert_int_equal(v.output, 1);
}

static void test_wrong_values(void **state)
{
	static const char *const wrong[] = {
		"--limit=0",    "--limit=101",
		"--limit=-1",   "--limit=5x",
		"--limit= 5",   "--line-max=1",
		"--line-max",   "--line-max=99999999999999999999",
		"--grace=1",    "--grace=99999999999d",
		"--output=xml", "--dir=tmp",
		"--nothing",    "-x",
		"--follow=1",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct values v = { 0 };

		if (PARSE(&v, wrong[i]) != OPTIONS_BAD)
			fail_msg("%s was accepted", wrong[i]);
	}
}

static void test_operands(void **state)
{
	struct command_spec last = spec;
	struct values v = { 0 };

	last.operands_last = true;
	last.operands_min = 1;
	assert_int_equal(PARSE(&v, "word", "-f", "more"), 2);
	assert_true(v.follow);
	v = (struct values){ 0 };
	assert_int_equal(parse(&last, &v, (const char *const[]){ "ls", "-f", NULL }), 1);
	assert_false(v.follow);
	assert_int_equal(parse(&last, &v, (const char *const[]){ "--", "-f", NULL }), 2);
	assert_int_equal(parse(&last, &v, (const char *const[]){ "-f", NULL }), OPTIONS_BAD);
	last.operands_max = 1;
	assert_int_equal(parse(&last, &v, (const char *const[]){ "a", "b", NULL }), OPTIONS_BAD);
}

static void test_environment(void **state)
{
	struct values v = { 0 };

	setenv("REQTAP_LINE_MAX", "2K", 1);
	setenv("REQTAP_FOLLOW", "yes", 1);
	setenv("REQTAP_HEADER", "a,,b", 1);
	setenv("REQTAP_LIMIT", "", 1);
	assert_int_equal(PARSE(&v, "word"), 1);
	assert_int_equal(v.line_max, 2048);
	assert_true(v.follow);
	assert_int_equal(v.header.count, 2);
	assert_int_equal(v.limit, 0);
	option_list__clear(&v.header);

	assert_int_equal(PARSE(&v, "--line-max=4K", "--header=c"), 3);
	assert_int_equal(v.line_max, 4096);
	assert_int_equal(v.header.count, 1);
	assert_string_equal(v.header.items[0], "c");
	option_list__clear(&v.header);

	setenv("REQTAP_LINE_MAX", "two", 1);
	assert_int_equal(PARSE(&v, "word"), OPTIONS_BAD);
	option_list__clear(&v.header);
	setenv("REQTAP_LINE_MAX", "2K", 1);
	setenv("REQTAP_FOLLOW", "perhaps", 1);
	assert_int_equal(PARSE(&v, "word"), OPTIONS_BAD);
	option_list__clear(&v.header);
	unsetenv("REQTAP_LINE_MAX");
	unsetenv("REQTAP_FOLLOW");
	unsetenv("REQTAP_HEADER");
	unsetenv("REQTAP_LIMIT");
}

static void test_list_is_bounded(void **state)
{
	struct values v = { 0 };
	char text[] = "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", right[200];

	assert_int_equal(
		option_value__set_variable(&options[2], text, &v.header, right, sizeof(right)),
		-E2BIG);
	assert_int_equal(v.header.count, OPTION_LIST_MAX);
	option_list__clear(&v.header);
}

static void test_right_says_the_range(void **state)
{
	char right[200];
	uint64_t value;

	assert_int_equal(option_value__set(&options[4], "1", &value, right, sizeof(right)),
			 -ERANGE);
	assert_string_equal(right, "a size like 64K or 16M from 1K to 16M");
	assert_int_equal(option_value__set(&options[6], "1", &value, right, sizeof(right)),
			 -EINVAL);
	assert_string_equal(right, "one of pretty, json");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_type),      cmocka_unit_test(test_wrong_values),
		cmocka_unit_test(test_operands),        cmocka_unit_test(test_environment),
		cmocka_unit_test(test_list_is_bounded), cmocka_unit_test(test_right_says_the_range),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
