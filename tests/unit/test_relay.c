/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <errno.h>
#include "agent/relay.h"

#define TIME 5000000000ULL

static void origin(struct relay *relay, const char *text, uint64_t request, uint64_t time_ns)
{
	const struct line line = { .text = str_from(text),
				   .container = 5,
				   .request = request,
				   .unit = RT_UNIT_THREAD,
				   .time_ns = time_ns,
				   .tgid = 10,
				   .tid = 11,
				   .origin = true };

	relay__origin(relay, &line);
}

static int match(struct relay *relay, const char *text, struct origin *ret)
{
	const struct line line = {
		.text = str_from(text), .container = 5, .time_ns = TIME + 1000, .tgid = 20
	};

	return relay__match(relay, &line, ret);
}

static void test_copy(void **state)
{
	struct relay *relay = relay__new();
	struct origin got;

	origin(relay, "hello world", 3, TIME);
	assert_int_equal(match(relay, "hello", &got), -ENOENT);
	assert_int_equal(match(relay, "hello world", &got), 0);
	assert_int_equal(got.request, 3);
	assert_int_equal(got.unit, RT_UNIT_THREAD);
	assert_int_equal(got.tgid, 10);
	assert_int_equal(got.tid, 11);
	assert_int_equal(got.time_ns, TIME);
	assert_int_equal(match(relay, "hello world", &got), -ENOENT);
	relay__free(relay);
}

static void test_prefix(void **state)
{
	struct relay *relay = relay__new();
	struct origin got;

	origin(relay, "hello world", 3, TIME);
	assert_int_equal(match(relay, "[worker]hello world", &got), -ENOENT);
	assert_int_equal(match(relay, "2026-01-01 [worker 1] hello world", &got), 0);
	assert_int_equal(got.request, 3);
	origin(relay, "hello again", 4, TIME);
	assert_int_equal(match(relay, "\"hello again", &got), -ENOENT);
	assert_int_equal(match(relay,
			       "[24-Nov-2026 20:00:00] WARNING: [pool www] child 7 said into "
			       "stderr: \"hello again\"",
			       &got),
			 0);
	assert_int_equal(got.request, 4);
	relay__free(relay);
}

static void test_own_line_and_other_container(void **state)
{
	struct relay *relay = relay__new();
	struct line line = { .text = STR("same"), .container = 5, .time_ns = TIME, .tgid = 10 };
	struct origin got;

	origin(relay, "same", 3, TIME);
	assert_int_equal(relay__match(relay, &line, &got), -ENOENT);
	line.tgid = 20;
	line.container = 6;
	assert_int_equal(relay__match(relay, &line, &got), -ENOENT);
	relay__free(relay);
}

static void test_equal_texts(void **state)
{
	struct relay *relay = relay__new();
	struct origin got;

	origin(relay, "same", 3, TIME);
	origin(relay, "same", 3, TIME + 1);
	assert_int_equal(match(relay, "same", &got), 0);
	assert_int_equal(got.request, 3);
	origin(relay, "same", 4, TIME + 2);
	/* two requests wait: neither copy says whose it is, the last one no more than the first */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(match(relay, "same", &got), 0);
		assert_int_equal(got.request, 0);
		assert_int_equal(got.unit, RT_UNIT_NONE);
	}
	assert_int_equal(match(relay, "same", &got), -ENOENT);
	origin(relay, "same", 5, TIME + 3);
	assert_int_equal(match(relay, "same", &got), 0);
	assert_int_equal(got.request, 5);
	relay__free(relay);
}

static void test_timeout(void **state)
{
	struct relay *relay = relay__new();
	struct line line = { .text = STR("late"), .container = 5, .tgid = 20 };
	struct origin got;

	origin(relay, "late", 3, TIME);
	line.time_ns = TIME + RELAY_TIMEOUT_NS + 1;
	assert_int_equal(relay__match(relay, &line, &got), -ENOENT);
	relay__free(relay);
}

static void test_bound(void **state)
{
	struct relay *relay = relay__new();
	struct origin got;

	origin(relay, "first", 3, TIME);
	for (int i = 0; i < RELAY_LINES; i++)
		origin(relay, "same", 4, TIME);
	assert_int_equal(match(relay, "first", &got), -ENOENT);
	assert_int_equal(match(relay, "same", &got), 0);
	relay__free(relay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_own_line_and_other_container),
		cmocka_unit_test(test_equal_texts),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
