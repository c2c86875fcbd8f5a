/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <stdio.h>
#include "agent/traceback.h"

#define START "Traceback (most recent call last):"
#define FRAME "  File \"a.py\", line 1, in f"

struct seen {
	struct {
		char message[128], text[2048];
		uint64_t time_ns;
		uint32_t tid;
	} got[4];
	unsigned count;
};

static void keep(void *ctx, const struct traceback *traceback)
{
	struct seen *seen = ctx;
	struct str message = traceback->line->text;

	assert_true(seen->count < 4);
	snprintf(seen->got[seen->count].message, 128, "%.*s", (int)message.len, message.data);
	snprintf(seen->got[seen->count].text, sizeof(seen->got[0].text), "%.*s",
		 (int)traceback->text.len, traceback->text.data);
	seen->got[seen->count].time_ns = traceback->line->time_ns;
	seen->got[seen->count++].tid = traceback->line->tid;
}

/* One write: its lines, each with the rest of the write behind it. How many were taken. */
static unsigned put(struct traceback_joiner *joiner, uint32_t tid, uint64_t time, const char *text)
{
	unsigned taken = 0;

	while (*text) {
		const char *end = strchr(text, '\n');
		struct line line = { .text = { text, end - text },
				     .rest = str_from(end + 1),
				     .inode = 7,
				     .tid = tid,
				     .time_ns = time,
				     .first_write_ns = time };

		taken += traceback_joiner__line(joiner, &line);
		text = end + 1;
	}
	return taken;
}

static void test_one_write_with_head(void **state)
{
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);

	assert_int_equal(put(joiner, 1, 10, "ERROR failed\n" START "\n" FRAME "\nKeyError: 'k'\n"),
			 4);
	assert_int_equal(seen.count, 1); /* the write's end is the end: nothing is waited for */
	assert_string_equal(seen.got[0].message, "ERROR failed");
	assert_string_equal(seen.got[0].text, START "\n" FRAME "\nKeyError: 'k'");
	assert_int_equal(traceback_joiner__tick(joiner, 10), UINT64_MAX);
	traceback_joiner__free(joiner);
}

static void test_message_of_several_lines(void **state)
{
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);

	put(joiner, 1, 10, "ERROR failed\n" START "\n" FRAME "\nValueError: a\nb\nc\n");
	put(joiner, 2, 20, START "\n" FRAME "\nValueError: d\ne\nf\n");
	traceback_joiner__tick(joiner, 20 + TRACEBACK_WAIT_NS);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.got[0].message, "ERROR failed");
	assert_string_equal(seen.got[0].text, START "\n" FRAME "\nValueError: a\nb\nc");
	assert_string_equal(seen.got[1].message, "ValueError: d\ne\nf");
	assert_string_equal(seen.got[1].text, START "\n" FRAME "\nValueError: d\ne\nf");
	traceback_joiner__free(joiner);
}

/* A buffer that held several records is flushed in one write. */
static void test_another_record_in_the_same_write(void **state)
{
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);

	assert_int_equal(put(joiner, 1, 10, START "\n" FRAME "\nKeyError\nINFO: next\n"), 3);
	assert_int_equal(put(joiner, 1, 20, START "\n" FRAME "\nKeyError\n{\"a\": 1}\n"), 3);
	assert_int_equal(seen.count, 2);
	traceback_joiner__free(joiner);
}

static void test_write_per_line(void **state)
{
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);

	put(joiner, 1, 10, START "\n");
	put(joiner, 1, 20, FRAME "\n");
	put(joiner, 1, 30, "    f()\n");
	put(joiner, 1, 40, "ValueError: no\n");
	assert_int_equal(seen.count, 0);
	traceback_joiner__exit(joiner, 2);
	assert_int_equal(seen.count, 0);
	traceback_joiner__exit(joiner, 1);
	assert_int_equal(seen.count, 1);
	assert_string_equal(seen.got[0].message, "ValueError: no");
	assert_string_equal(seen.got[0].text, START "\n" FRAME "\n    f()\nValueError: no");
	assert_int_equal(seen.got[0].time_ns, 40);
	traceback_joiner__free(joiner);
}

static void test_chain(void **state)
{
	static const char *const chains[] = {
		"During handling of the above exception, another exception occurred:",
		"The above exception was the direct cause of the following exception:",
	};

	for (unsigned i = 0; i < 2; i++) {
		struct seen seen = { 0 };
		struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);
		char want[512], chain[128];

		snprintf(chain, sizeof(chain), "%s\n", chains[i]);
		put(joiner, 1, 10, START "\n");
		put(joiner, 1, 20, FRAME "\n");
		put(joiner, 1, 30, "KeyError: 1\n");
		put(joiner, 1, 40, "\n");
		put(joiner, 1, 50, chain);
		put(joiner, 1, 60, "\n");
		put(joiner, 1, 70, START "\n");
		put(joiner, 1, 80, FRAME "\n");
		put(joiner, 1, 90, "ValueError: 2\n");
		traceback_joiner__exit(joiner, 0);
		assert_int_equal(seen.count, 1);
		assert_string_equal(seen.got[0].message, "ValueError: 2");
		snprintf(want, sizeof(want),
			 START "\n" FRAME "\nKeyError: 1\n\n%s\n" START "\n" FRAME
			       "\nValueError: 2",
			 chain);
		assert_string_equal(seen.got[0].text, want);
		traceback_joiner__free(joiner);
	}
}

static void test_threads_interleave(void **state)
{
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);

	put(joiner, 1, 10, START "\n");
	put(joiner, 2, 11, START "\n");
	put(joiner, 1, 20, FRAME "\n");
	put(joiner, 2, 21, "  File \"b.py\", line 2, in g\n");
	put(joiner, 2, 31, "KeyError: 2\n");
	put(joiner, 1, 40, "KeyError: 1\n");
	assert_int_equal(put(joiner, 3, 41, "INFO a third thread\n"), 0);
	traceback_joiner__exit(joiner, 1);
	traceback_joiner__exit(joiner, 2);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.got[0].text, START "\n" FRAME "\nKeyError: 1");
	assert_string_equal(seen.got[1].text, START "\n  File \"b.py\", line 2, in g\nKeyError: 2");
	assert_int_equal(seen.got[1].tid, 2);
	traceback_joiner__free(joiner);
}

static void test_timeout(void **state)
{
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);

	put(joiner, 1, 1000, START "\n" FRAME "\nKeyError: 1\n");
	assert_int_equal(traceback_joiner__tick(joiner, 1001), 1000 + TRACEBACK_WAIT_NS);
	assert_int_equal(seen.count, 0);
	assert_int_equal(traceback_joiner__tick(joiner, 1000 + TRACEBACK_WAIT_NS), UINT64_MAX);
	assert_int_equal(seen.count, 1);
	traceback_joiner__free(joiner);
}

static void test_unrelated_line_after(void **state)
{
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);

	put(joiner, 1, 10, START "\n" FRAME "\nKeyError: 1\n");
	assert_int_equal(put(joiner, 1, 20, "INFO goes on\n"), 0);
	assert_int_equal(seen.count, 1); /* before the line, so that their order is kept */
	assert_string_equal(seen.got[0].text, START "\n" FRAME "\nKeyError: 1");
	assert_int_equal(put(joiner, 1, 30, "  indented\n"), 0);
	traceback_joiner__free(joiner);
}

static void test_bounds(void **state)
{
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);

	for (uint32_t tid = 1; tid <= TRACEBACK_OPEN_MAX + 1; tid++)
		put(joiner, tid, tid, START "\n");
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.got[0].tid, 1);
	traceback_joiner__free(joiner);
}

#define GROUP                                                                                      \
	"  + Exception Group Traceback (most recent call last):\n"                                 \
	"  |   File \"a.py\", line 1, in <module>\n"                                               \
	"  | ExceptionGroup: two (1 sub-exception)\n"                                              \
	"  +-+---------------- 1 ----------------\n"                                               \
	"    | Traceback (most recent call last):\n"                                               \
	"    |   File \"a.py\", line 2, in <module>\n"                                             \
	"    | ValueError: 1\n"                                                                    \
	"    +------------------------------------\n"

/* As print_exc writes it: a write per line. */
static void put_lines(struct traceback_joiner *joiner, uint64_t time, const char *text)
{
	while (*text) {
		const char *end = strchr(text, '\n') + 1;
		char *line = strndup(text, end - text);

		put(joiner, 1, time++, line);
		free(line);
		text = end;
	}
}

static void test_groups(void **state)
{
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);

	put_lines(joiner, 10,
		  GROUP "\nDuring handling of the above exception, another exception "
			"occurred:\n\n" GROUP);
	assert_int_equal(seen.count, 0); /* a chain: one record */
	put_lines(joiner, 100, GROUP);
	assert_int_equal(seen.count, 1);
	put_lines(joiner, 200,
		  "\nThe above exception was the direct cause of the following "
		  "exception:\n\n" START "\n" FRAME "\nKeyError: 1\n");
	assert_int_equal(seen.count, 1);
	traceback_joiner__exit(joiner, 0);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.got[1].message, "KeyError: 1");
	traceback_joiner__free(joiner);
}

static void test_one_after_another(void **state)
{
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);

	put(joiner, 1, 10, START "\n" FRAME "\nKeyError: 1\n" START "\n" FRAME "\nKeyError: 2\n");
	assert_int_equal(seen.count, 1);
	put(joiner, 1, 20, START "\n");
	put(joiner, 1, 30, START "\n" FRAME "\nKeyError: 3\n");
	assert_int_equal(seen.count, 3);
	assert_string_equal(seen.got[0].text, START "\n" FRAME "\nKeyError: 1");
	assert_string_equal(seen.got[1].text, START "\n" FRAME "\nKeyError: 2");
	assert_string_equal(seen.got[2].text, START);
	traceback_joiner__free(joiner);
}

/* Its first line holds ring space: it is not open for ever, though each line is soon followed. */
static void test_endless(void **state)
{
	const uint64_t step = TRACEBACK_WAIT_NS / 2;
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);

	put(joiner, 1, 0, START "\n");
	for (uint64_t now = step; now < TRACEBACK_LONGEST_NS; now += step) {
		put(joiner, 1, now, FRAME "\n");
		assert_int_equal(traceback_joiner__tick(joiner, now),
				 now + 2 * step < TRACEBACK_LONGEST_NS ? now + 2 * step
								       : TRACEBACK_LONGEST_NS);
	}
	traceback_joiner__tick(joiner, TRACEBACK_LONGEST_NS);
	assert_int_equal(seen.count, 1);
	traceback_joiner__free(joiner);
}

/* What does not fit is not taken: the caller has it as lines. */
static void test_full(void **state)
{
	struct seen seen = { 0 };
	struct traceback_joiner *joiner = traceback_joiner__new(keep, &seen);
	unsigned taken = put(joiner, 1, 10, START "\n");

	for (size_t i = 0; i < TRACEBACK_MAX_BYTES / strlen(FRAME) + 2; i++)
		taken += put(joiner, 1, 10, FRAME "\n");
	assert_int_equal(seen.count, 1);
	assert_int_equal(taken, 1 + (TRACEBACK_MAX_BYTES - strlen(START)) / strlen(FRAME "\n"));
	traceback_joiner__free(joiner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_write_with_head),
		cmocka_unit_test(test_message_of_several_lines),
		cmocka_unit_test(test_another_record_in_the_same_write),
		cmocka_unit_test(test_write_per_line),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_threads_interleave),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_unrelated_line_after),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_one_after_another),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
