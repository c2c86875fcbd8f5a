/* SPDX-License-Identifier: Apache-2.0 */
/* What was lost is told once, in its place where a fragment follows, late where none does. */
#include "tests/unit/unit.h"
#include "agent/loss.h"

static uint32_t told(struct loss_table *table, uint64_t inode, uint32_t writes)
{
	const struct event_fragment fragment = { .inode = inode, .lost_writes = writes };
	uint32_t ret_writes, ret_bytes;

	loss_table__fragment(table, &fragment, &ret_writes, &ret_bytes);
	return ret_writes;
}

static uint32_t late(struct loss_table *table, uint64_t inode, uint32_t writes)
{
	const struct stream_key key = { .inode = inode };
	const struct stream stream = { .lost_writes = writes, .lost_bytes = writes * 10 };
	uint32_t ret_writes, ret_bytes;

	loss_table__late(table, &key, &stream, &ret_writes, &ret_bytes);
	return ret_writes;
}

static void test_once(void **state)
{
	struct loss_table *table = loss_table__new();

	assert_int_equal(told(table, 1, 0), 0);
	assert_int_equal(told(table, 1, 12), 12);
	assert_int_equal(told(table, 1, 12), 0);
	assert_int_equal(told(table, 2, 3), 3);
	assert_int_equal(told(table, 1, 13), 1);
	loss_table__free(table);
}

static void test_an_older_count_is_no_news(void **state)
{
	struct loss_table *table = loss_table__new();

	assert_int_equal(told(table, 1, 6), 6);
	assert_int_equal(told(table, 1, 5), 0);
	assert_int_equal(told(table, 1, 7), 1);
	loss_table__free(table);
}

static void test_counts_wrap(void **state)
{
	struct loss_table *table = loss_table__new();

	assert_int_equal(told(table, 1, 0x7fffffff), 0x7fffffff);
	assert_int_equal(told(table, 1, 0xfffffffe), 0x7fffffff);
	assert_int_equal(told(table, 1, 1), 3);
	loss_table__free(table);
}

static void test_late(void **state)
{
	struct loss_table *table = loss_table__new();

	assert_int_equal(late(table, 1, 5), 0); /* a fragment may yet tell it, in its place */
	assert_int_equal(told(table, 1, 5), 5);
	assert_int_equal(late(table, 1, 5), 0);
	assert_int_equal(late(table, 1, 7), 0);
	assert_int_equal(late(table, 1, 7), 2);
	assert_int_equal(told(table, 1, 7), 0);
	loss_table__free(table);
}

static void test_bounded(void **state)
{
	struct loss_table *table = loss_table__new();

	for (uint64_t inode = 0; inode < LOSS_STREAMS_MAX * 2; inode++)
		assert_int_equal(told(table, inode, 1), 1);
	assert_int_equal(told(table, LOSS_STREAMS_MAX * 2 - 1, 1), 0);
	loss_table__free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_an_older_count_is_no_news),
		cmocka_unit_test(test_counts_wrap),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
