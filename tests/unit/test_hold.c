/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <stdbool.h>
#include <stdio.h>
#include "agent/hold.h"

struct rig {
	struct hold *hold;
	enum hold_verdict verdicts[4]; /* of containers 0 to 3 */
	char out[4096];                /* "container:body " of all that went out */
};

static enum hold_verdict verdict(void *ctx, uint64_t container, bool forced)
{
	struct rig *rig = ctx;

	if (forced && rig->verdicts[container] == HOLD_WAIT)
		return HOLD_TAKE;
	return rig->verdicts[container];
}

static void sink(void *ctx, const struct record *record)
{
	struct rig *rig = ctx;
	size_t len = strlen(rig->out);

	snprintf(rig->out + len, sizeof(rig->out) - len, "%d:%.*s ", (int)record->container,
		 (int)record->body.len, record->body.data);
	assert_true(str_equal(record->body, record->message));
}

static void give(struct rig *rig, uint64_t container, const char *text, uint64_t mark)
{
	char body[64];
	struct record record = { .container = container };

	snprintf(body, sizeof(body), "%s", text);
	record.body = record.message = str_from(body);
	hold__record(rig->hold, &record, mark);
	memset(body, '#', sizeof(body)); /* what is kept is a copy */
}

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct hold_config config = {
		.max_bytes = 2000, .verdict = verdict, .sink = sink, .ctx = rig
	};

	rig->hold = hold__new(&config);
	rig->verdicts[1] = HOLD_TAKE;
	rig->verdicts[2] = HOLD_LEAVE;
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	hold__free(rig->hold);
	free(rig);
	return 0;
}

static void test_order(void **state)
{
	struct rig *rig = *state;

	give(rig, 0, "a", 5);
	give(rig, 1, "x", 6);
	give(rig, 2, "never", 6);
	give(rig, 0, "b", 7);
	give(rig, 3, "c", 8);
	assert_string_equal(rig->out, "1:x ");
	assert_int_equal(hold__mark(rig->hold, 9), 5);
	/* what waited goes before what comes, and the other container waits on */
	rig->verdicts[0] = HOLD_TAKE;
	give(rig, 0, "d", 9);
	assert_string_equal(rig->out, "1:x 0:a 0:b 0:d ");
	assert_int_equal(hold__mark(rig->hold, 10), 8);
	rig->verdicts[3] = HOLD_LEAVE;
	hold__settle(rig->hold);
	assert_int_equal(hold__mark(rig->hold, 10), 10);
	assert_int_equal(hold__stats(rig->hold)->bytes, 0);
	give(rig, 0, "e", 10);
	assert_string_equal(rig->out, "1:x 0:a 0:b 0:d 0:e ");
	/* what nobody knew of in time is counted, what waited and what comes; what is not ours is
	 * not */
	assert_int_equal(hold__stats(rig->hold)->lost, 0);
	rig->verdicts[0] = HOLD_WAIT;
	give(rig, 0, "f", 11);
	rig->verdicts[0] = HOLD_LOSE;
	give(rig, 0, "g", 12);
	assert_int_equal(hold__stats(rig->hold)->lost, 2);
	assert_string_equal(rig->out, "1:x 0:a 0:b 0:d 0:e ");
}

/* There is no room to wait: all goes with what is known, in order. */
static void test_bound(void **state)
{
	struct rig *rig = *state;
	char want[4096] = "";

	for (int i = 0; i < 50; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		give(rig, 0, text, i);
		assert_true(hold__stats(rig->hold)->bytes <= 2000);
	}
	assert_true(hold__stats(rig->hold)->forced > 0);
	hold__flush(rig->hold);
	for (int i = 0; i < 50; i++)
		snprintf(want + strlen(want), sizeof(want) - strlen(want), "0:%d ", i);
	assert_string_equal(rig->out, want);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_order), TEST(test_bound) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
