/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <errno.h>
#include <string.h>
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

static struct seen {
	unsigned count;
	struct line last;
	char texts[256]; /* of all, one behind the other */
} seen;

static void see(void *ctx, const struct line *line, bool durable)
{
	seen.count++;
	seen.last = *line;
	strncat(seen.texts, line->text.data, line->text.len);
}

static void say(struct relay *relay, const char *text, uint64_t time_ns)
{
	const struct line line = {
		.text = str_from(text), .container = 5, .time_ns = time_ns, .tgid = 20
	};

	relay__line(relay, &line, false);
}

/* -ENOENT: it went on as it was, at once or in the end. */
static int match_line(struct relay *relay, const struct line *line, struct line *ret)
{
	memset(&seen, 0, sizeof(seen));
	relay__line(relay, line, false);
	relay__flush(relay);
	assert_int_equal(seen.count, 1);
	*ret = seen.last;
	return seen.last.relayed ? 0 : -ENOENT;
}

static int match(struct relay *relay, const char *text, struct line *ret)
{
	const struct line line = {
		.text = str_from(text), .container = 5, .time_ns = TIME + 1000, .tgid = 20
	};

	return match_line(relay, &line, ret);
}

static void test_copy(void **state)
{
	struct relay *relay = relay__new(see, NULL);
	struct line got;

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
	struct relay *relay = relay__new(see, NULL);
	struct line got;

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
	struct relay *relay = relay__new(see, NULL);
	struct line line = { .text = STR("same"), .container = 5, .time_ns = TIME, .tgid = 10 };
	struct line got;

	origin(relay, "same", 3, TIME);
	assert_int_equal(match_line(relay, &line, &got), -ENOENT);
	line.tgid = 20;
	line.container = 6;
	assert_int_equal(match_line(relay, &line, &got), -ENOENT);
	relay__free(relay);
}

static void test_equal_texts(void **state)
{
	struct relay *relay = relay__new(see, NULL);
	struct line got;

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
	struct relay *relay = relay__new(see, NULL);
	struct line line = { .text = STR("late"), .container = 5, .tgid = 20 };
	struct line got;

	origin(relay, "late", 3, TIME);
	line.time_ns = TIME + RELAY_TIMEOUT_NS + 1;
	assert_int_equal(match_line(relay, &line, &got), -ENOENT);
	relay__free(relay);
}

static void test_bound(void **state)
{
	struct relay *relay = relay__new(see, NULL);
	struct line got;

	origin(relay, "first", 3, TIME);
	for (int i = 0; i < RELAY_LINES; i++)
		origin(relay, "same", 4, TIME);
	assert_int_equal(match(relay, "first", &got), -ENOENT);
	assert_int_equal(match(relay, "same", &got), 0);
	relay__free(relay);
}

/* A relay that was faster than the capture of what it copied. */
static void test_copy_before_origin(void **state)
{
	struct relay *relay = relay__new(see, NULL);

	memset(&seen, 0, sizeof(seen));
	say(relay, "0", TIME); /* nobody is known to relay yet */
	assert_int_equal(seen.count, 1);
	origin(relay, "1", 3, TIME);
	say(relay, "1", TIME);
	assert_int_equal(seen.count, 2);
	say(relay, "2", TIME + 1);
	say(relay, "3", TIME + 2);
	assert_int_equal(seen.count, 2);
	assert_int_equal(relay__held(relay), 0);
	origin(relay, "3", 5, TIME + 3); /* behind one that still waits */
	assert_int_equal(seen.count, 2);
	origin(relay, "2", 4, TIME + 4);
	assert_string_equal(seen.texts, "0123");
	assert_int_equal(seen.last.request, 5);
	assert_int_equal(relay__held(relay), UINT64_MAX);
	relay__free(relay);
}

static void test_hold_ends(void **state)
{
	struct relay *relay = relay__new(see, NULL);

	memset(&seen, 0, sizeof(seen));
	origin(relay, "1", 3, TIME);
	say(relay, "1", TIME);
	say(relay, "own", TIME + 1);
	origin(relay, "2", 4, TIME + 2);
	say(relay, "2", TIME + 2);
	assert_int_equal(relay__tick(relay, TIME + RELAY_HOLD_NS), TIME + 1 + RELAY_HOLD_NS);
	assert_string_equal(seen.texts, "1");
	assert_int_equal(relay__tick(relay, TIME + 1 + RELAY_HOLD_NS), UINT64_MAX);
	assert_string_equal(seen.texts, "1own2");
	assert_int_equal(seen.last.request, 4);
	relay__free(relay);
}

static void test_hold_bound(void **state)
{
	struct relay *relay = relay__new(see, NULL);

	origin(relay, "1", 3, TIME);
	say(relay, "1", TIME);
	memset(&seen, 0, sizeof(seen));
	for (int i = 0; i < RELAY_HELD; i++)
		say(relay, "", TIME + 1);
	assert_int_equal(seen.count, 0);
	say(relay, "", TIME + 1);
	assert_int_equal(seen.count, RELAY_HELD + 1);
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
		cmocka_unit_test(test_copy_before_origin),
		cmocka_unit_test(test_hold_ends),
		cmocka_unit_test(test_hold_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
