/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keys.h"

#define BUCKET_BITS 7
#define SLOT_BITS 5

_Static_assert(1 << BUCKET_BITS == KEYS_BUCKETS, "a bucket is the key's leading bits");
_Static_assert(1 << SLOT_BITS == FILTER_BLOCKS && SLOT_BITS <= BUCKET_BITS,
	       "an entry has a slot where the bucket's bits were");
_Static_assert(KEYS_SEGMENT_MAX <= KEYS_PART, "a segment's numbers are of two parts at most");

uint32_t keys__of(struct str id)
{
	uint64_t hash = str_hash(STR_HASH, id.data, id.len);
	uint32_t key = (uint32_t)(hash ^ hash >> 32);

	return key ? key : 1;
}

void keys__add(struct keys_set *set, uint32_t key)
{
	uint32_t i = key % KEYS_SLOTS;

	while (set->slots[i] && set->slots[i] != key)
		i = (i + 1) % KEYS_SLOTS;
	set->count += !set->slots[i];
	set->slots[i] = key;
}

void keys__pack(struct keys_set *set)
{
	for (uint32_t from = 0, to = 0; to < set->count; from++)
		if (set->slots[from])
			set->slots[to++] = set->slots[from];
}

void keys__put(struct keys_segment *segment, unsigned slot, const uint32_t *keys, uint32_t count)
{
	uint32_t from = slot ? segment->ends[slot - 1] : 0;

	memcpy(segment->keys + from, keys, count * sizeof(*keys));
	segment->ends[slot] = from + count;
}

unsigned keys__bucket(uint32_t key)
{
	return key >> (32 - BUCKET_BITS);
}

static uint32_t entry(uint32_t key, unsigned slot)
{
	return key << BUCKET_BITS | slot;
}

/* By counting: where each bucket begins is known before it is filled, and then moves to its end. */
void keys__sort(const struct keys_segment *segment, unsigned slots, struct keys_sorted *ret)
{
	uint32_t count = slots ? segment->ends[slots - 1] : 0, begin = 0;

	memset(ret->ends, 0, sizeof(ret->ends));
	for (uint32_t i = 0; i < count; i++)
		ret->ends[keys__bucket(segment->keys[i])]++;
	for (unsigned b = 0; b < KEYS_BUCKETS; b++) {
		uint32_t of_bucket = ret->ends[b];

		ret->ends[b] = begin;
		begin += of_bucket;
	}
	for (uint32_t slot = 0, i = 0; slot < slots; slot++)
		for (; i < segment->ends[slot]; i++) {
			uint32_t key = segment->keys[i];

			ret->entries[ret->ends[keys__bucket(key)]++] = entry(key, slot);
		}
}

int64_t keys__row(int64_t first_seq, unsigned bucket)
{
	return (first_seq / KEYS_PART * KEYS_BUCKETS + bucket) * KEYS_PART + first_seq % KEYS_PART;
}

int64_t keys__first_seq(int64_t row)
{
	return row / KEYS_PART / KEYS_BUCKETS * KEYS_PART + row % KEYS_PART;
}

uint32_t keys__slots(const void *entries, size_t bytes, uint32_t key)
{
	uint32_t wanted = entry(key, 0), mask = 0, each;

	/* a row's bytes need not be aligned */
	for (const char *at = entries, *end = at + bytes; end - at >= (ptrdiff_t)sizeof(each);
	     at += sizeof(each)) {
		memcpy(&each, at, sizeof(each));
		if (each >> SLOT_BITS == wanted >> SLOT_BITS)
			mask |= 1U << each % FILTER_BLOCKS;
	}
	return mask;
}
