/* SPDX-License-Identifier: Apache-2.0 */
/* Request ids are found in the blocks that have them, whatever else lies beside. */
#include "tests/unit/unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "agent/keys.h"
#include "agent/lookup.h"
#include "agent/store.h"

#define SEGMENTS 7
/* Not a divisor of a part, and one of a segment's numbers reach into the next part. */
#define STRIDE (KEYS_PART / 3 + 12345)

static struct keys_segment segment;
static struct keys_sorted sorted;
static struct keys_set set;

static uint32_t key_of(unsigned i)
{
	char id[32];

	snprintf(id, sizeof(id), "request-%u", i);
	return keys__of(str_from(id));
}

static void a_set_has_each_key_once(void **state)
{
	uint64_t sum = 0;

	memset(&set, 0, sizeof(set));
	for (unsigned i = 0; i < 3 * KEYS_BLOCK_MAX; i++)
		keys__add(&set, 1 + i % KEYS_BLOCK_MAX * 8192);
	assert_int_equal(set.count, KEYS_BLOCK_MAX);
	keys__pack(&set);
	for (unsigned i = 0; i < KEYS_BLOCK_MAX; i++)
		sum += set.slots[i];
	assert_int_equal(sum, KEYS_BLOCK_MAX + 8192ULL * KEYS_BLOCK_MAX * (KEYS_BLOCK_MAX - 1) / 2);
}

/* Block `slot` of a segment has the keys i with i % FILTER_BLOCKS == slot, and all have key 0. */
static void fill(unsigned from, unsigned per_block)
{
	for (unsigned slot = 0; slot < FILTER_BLOCKS; slot++) {
		memset(&set, 0, sizeof(set));
		keys__add(&set, key_of(0));
		for (unsigned i = 0; i < per_block; i++)
			keys__add(&set, key_of(from + i * FILTER_BLOCKS + slot));
		keys__pack(&set);
		keys__put(&segment, slot, set.slots, set.count);
	}
	keys__sort(&segment, FILTER_BLOCKS, &sorted);
}

static uint32_t slots_of(uint32_t key)
{
	unsigned bucket = keys__bucket(key);
	uint32_t from = bucket ? sorted.ends[bucket - 1] : 0;

	return keys__slots(sorted.entries + from,
			   (sorted.ends[bucket] - from) * sizeof(sorted.entries[0]), key);
}

static void every_key_is_found_in_its_blocks(void **state)
{
	const unsigned from = 32, count = FILTER_BLOCKS * 1000;
	unsigned false_hits = 0;

	fill(from, 1000);
	assert_int_equal(slots_of(key_of(0)), UINT32_MAX);
	for (unsigned i = from; i < from + count; i++) {
		uint32_t slots = slots_of(key_of(i));

		assert_true(slots & 1U << i % FILTER_BLOCKS);
		false_hits += slots != 1U << i % FILTER_BLOCKS;
	}
	for (unsigned i = from + count; i < from + 2 * count; i++)
		false_hits += slots_of(key_of(i)) != 0;
	/* 2 x 32,000 questions, each against 250 entries of 25 bits: one in two runs is expected */
	assert_in_range(false_hits, 0, 10);
}

static void rows_and_numbers(void **state)
{
	static const int64_t seqs[] = { 1, KEYS_PART - 1, KEYS_PART, 5LL * KEYS_PART + 77,
					1LL << 50 };

	for (unsigned i = 0; i < sizeof(seqs) / sizeof(seqs[0]); i++)
		for (unsigned bucket = 0; bucket < KEYS_BUCKETS; bucket++)
			assert_int_equal(keys__first_seq(keys__row(seqs[i], bucket)), seqs[i]);
	/* one bucket of a part lies together */
	assert_true(keys__row(KEYS_PART - 1, 4) < keys__row(1, 5));
	assert_true(keys__row(KEYS_PART - 1, KEYS_BUCKETS - 1) < keys__row(KEYS_PART, 0));
}

static int64_t first_seq(unsigned s)
{
	return 1 + (int64_t)s * STRIDE;
}

/* Segments that begin at first_seq(); segment s has the keys from 10000 * (s + 1) on. */
static void put_segment(struct store *store, unsigned s)
{
	static struct filter_matrix matrix;
	struct store_block blocks[FILTER_BLOCKS] = { 0 };

	for (unsigned i = 0; i < FILTER_BLOCKS; i++) {
		blocks[i].seq = first_seq(s) + i * 1000;
		blocks[i].records = 1000;
		blocks[i].last_ns = s + 1;
		assert_int_equal(store__put_chunk(store, &blocks[i], 1, "x", 1), 0);
	}
	fill(10000 * (s + 1), 10);
	assert_int_equal(store__put_segment(store, blocks, &matrix, &sorted), 0);
}

static void put_block(struct store *store, int64_t seq, uint32_t key)
{
	static struct filter_map map;
	const struct store_block block = { .seq = seq, .records = 1000, .last_ns = 1000 };
	const struct store_loose loose = { &map, &key, 1 };

	assert_int_equal(store__put_chunk(store, &block, 1, "x", 1), 0);
	assert_int_equal(store__put_loose(store, &block, &loose), 0);
}

static void lookup_goes_to_what_has_them(void **state)
{
	const int64_t loose = first_seq(SEGMENTS);
	char path[] = "/tmp/reqtap-keys-XXXXXX";
	const struct lookup_hit *hit;
	struct lookup *lookup;
	struct store *store;
	uint32_t keys[3];
	sqlite3 *db;
	int err;

	close(mkstemp(path));
	store = store__open(path, &err);
	assert_non_null(store);
	for (unsigned s = 0; s < SEGMENTS; s++)
		put_segment(store, s);
	put_block(store, loose, key_of(5));
	put_block(store, loose + 1000, key_of(6));
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	lookup = lookup__new(db, &err);
	assert_non_null(lookup);

	for (unsigned s = 0; s < SEGMENTS; s++) {
		keys[0] = key_of(10000 * (s + 1) + 33);
		assert_int_equal(lookup__find(lookup, keys, 1, 0), 0);
		assert_int_equal(lookup__end(lookup), loose + 2000);
		hit = lookup__before(lookup, INT64_MAX);
		assert_non_null(hit);
		assert_int_equal(hit->seq, first_seq(s));
		assert_int_equal(hit->end_seq, first_seq(s) + 32000);
		assert_int_equal(hit->slots, 1U << 33 % FILTER_BLOCKS);
		assert_null(lookup__before(lookup, hit->seq));
		assert_null(lookup__after(lookup, hit->end_seq));
		assert_ptr_equal(lookup__after(lookup, hit->end_seq - 1), hit);
		/* also where it is asked for from its last record on */
		assert_int_equal(lookup__find(lookup, keys, 1, first_seq(s) + 31999), 0);
		assert_non_null(lookup__after(lookup, first_seq(s) + 31999));
	}
	/* several at once, one of them everywhere in segments, one in a loose block */
	keys[0] = key_of(10034);
	keys[1] = key_of(0);
	keys[2] = key_of(6);
	assert_int_equal(lookup__find(lookup, keys, 3, 0), 0);
	err = 0;
	for (int64_t seq = 0; (hit = lookup__after(lookup, seq)); seq = hit->end_seq, err++)
		assert_int_equal(hit->slots, err < SEGMENTS ? UINT32_MAX : 0);
	assert_int_equal(err, SEGMENTS + 1);
	assert_int_equal(lookup__before(lookup, INT64_MAX)->seq, loose + 1000);
	/* what is dropped is not found any more */
	for (unsigned s = 0; s < 3; s++)
		assert_int_equal(store__drop_oldest(store, UINT64_MAX), 0);
	assert_int_equal(lookup__find(lookup, keys, 3, 0), 0);
	assert_int_equal(lookup__after(lookup, 0)->seq, first_seq(3));

	lookup__free(lookup);
	sqlite3_close(db);
	store__close(store);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_has_each_key_once),
		cmocka_unit_test(every_key_is_found_in_its_blocks),
		cmocka_unit_test(rows_and_numbers),
		cmocka_unit_test(lookup_goes_to_what_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
