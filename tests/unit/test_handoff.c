/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include "agent/handoff.h"

#define TIME 5000000000ULL

/* What came out, in order: the first letter of each body, upper case where it got a request. */
struct out {
	char order[64];
	unsigned count;
	uint64_t seq;
};

static void on_record(void *ctx, struct record *record, uint64_t seq)
{
	struct out *out = ctx;

	assert_true(out->count < sizeof(out->order) - 1);
	assert_true(record->message.len == 0 || record->message.data[0] == 'm');
	out->order[out->count++] = record->body.data[0] - (seq ? 'a' - 'A' : 0);
	if (seq)
		out->seq = seq;
}

static bool hold(struct handoff *h, char letter, uint32_t tid, uint64_t write_ns)
{
	char text[2] = { letter, 0 };
	const struct record record = {
		.body = str_from(text), .message = str_from("m"), .tgid = 7, .tid = tid
	};

	const struct line line = { .time_ns = write_ns, .position = write_ns - TIME };

	return handoff__hold(h, &record, &line);
}

static void settle(struct handoff *h, uint32_t tid, uint64_t seq, uint64_t from_ns)
{
	const struct event_handoff event = {
		.seq = seq, .from_ns = from_ns, .tgid = 7, .tid = tid
	};

	handoff__settle(h, &event);
}

static void test_settle(void **state)
{
	struct out out = { 0 };
	struct handoff *h = handoff__new(on_record, &out);

	/* another thread's line waits on; what is older than the job is nobody's */
	assert_true(hold(h, 'a', 1, TIME));
	assert_true(hold(h, 'b', 2, TIME + 1));
	assert_true(hold(h, 'c', 1, TIME + 2));
	assert_true(hold(h, 'd', 1, TIME + 3));
	assert_int_equal(handoff__held(h), 0);
	settle(h, 1, 42, TIME + 2);
	assert_string_equal(out.order, "aCD");
	assert_int_equal(handoff__held(h), 1);
	assert_int_equal(out.seq, 42);
	settle(h, 2, 0, 0);
	assert_string_equal(out.order, "aCDb");
	assert_int_equal(handoff__held(h), UINT64_MAX);
	settle(h, 3, 42, 0);
	assert_int_equal(handoff__stats(h)->given, 2);
	assert_int_equal(handoff__stats(h)->refused, 2);
	assert_int_equal(handoff__stats(h)->waiting, 0);
	handoff__free(h);
}

static void test_waits_in_vain_once(void **state)
{
	struct out out = { 0 };
	struct handoff *h = handoff__new(on_record, &out);

	assert_true(hold(h, 'a', 1, TIME));
	assert_int_equal(handoff__tick(h, TIME + 1), TIME + HANDOFF_WAIT_NS);
	assert_int_equal(out.count, 0);
	assert_int_equal(handoff__tick(h, TIME + HANDOFF_WAIT_NS), UINT64_MAX);
	assert_string_equal(out.order, "a");
	assert_false(hold(h, 'b', 1, TIME));
	assert_true(hold(h, 'c', 2, TIME)); /* only that thread */
	settle(h, 1, 42, TIME);             /* it has answered, late */
	assert_true(hold(h, 'd', 1, TIME));
	handoff__flush(h);
	assert_string_equal(out.order, "acd");
	assert_int_equal(handoff__stats(h)->expired, 3);
	handoff__free(h);
}

static void test_thread_ends(void **state)
{
	struct out out = { 0 };
	struct handoff *h = handoff__new(on_record, &out);

	assert_true(hold(h, 'a', 1, TIME));
	handoff__exit(h, 7, 1);
	handoff__exit(h, 7, 1);
	assert_string_equal(out.order, "a");
	assert_true(hold(h, 'b', 1, TIME)); /* its number is used again */
	handoff__free(h);
}

static void count_record(void *ctx, struct record *record, uint64_t seq)
{
	++*(unsigned *)ctx;
}

static void test_bounds(void **state)
{
	unsigned out = 0;
	struct handoff *h = handoff__new(count_record, &out);
	char *large = calloc(1, HANDOFF_BYTES / 4);
	struct record record = { .body = { large, HANDOFF_BYTES / 4 }, .tgid = 7 };
	const struct line line = { .time_ns = TIME };

	for (uint32_t i = 0; i < HANDOFF_RECORDS + 10; i++)
		assert_true(hold(h, 'a', i % (HANDOFF_THREADS / 2), TIME) || out);
	assert_true(handoff__stats(h)->waiting <= HANDOFF_RECORDS);
	assert_true(out > 0);
	handoff__flush(h);
	out = 0;
	for (record.tid = 5000; record.tid < 5008; record.tid++)
		assert_true(handoff__hold(h, &record, &line));
	assert_true(out >= 5);
	for (record.tid = 10000; record.tid < 10000 + 2 * HANDOFF_THREADS; record.tid++)
		hold(h, 'a', record.tid, TIME);
	assert_true(handoff__stats(h)->waiting <= HANDOFF_THREADS);
	handoff__free(h);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settle),
		cmocka_unit_test(test_waits_in_vain_once),
		cmocka_unit_test(test_thread_ends),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
