/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: in which blocks of records a request id occurs. Pure; store.h and lookup.h have the rows.
 *
 * A key is 32 bits of a request id's hash. Those of a block are a set; those of a segment's blocks
 * are put into KEYS_BUCKETS rows by their leading bits, and of neighbouring segments the rows of
 * one bucket lie side by side in the file: a question reads two or three pages for KEYS_PART
 * records, where a page for each segment would be sixteen. Of two ids with one key the block is the
 * judge.
 */
#ifndef REQTAP_KEYS_H
#define REQTAP_KEYS_H

#include <stddef.h>
#include <stdint.h>
#include "agent/filter.h"
#include "agent/str.h"

#define KEYS_BUCKETS 128
#define KEYS_PART (1 << 21)  /* record numbers whose rows are side by side */
#define KEYS_BLOCK_MAX 4096  /* in a block: archive.h's bound of its records */
#define KEYS_SLOTS (1 << 13) /* twice as many, to find a free one soon */
#define KEYS_SEGMENT_MAX (FILTER_BLOCKS * KEYS_BLOCK_MAX)

/* One block's, each once. Zeroed: empty. */
struct keys_set {
	uint32_t count;
	uint32_t slots[KEYS_SLOTS]; /* 0: free */
};

/* Of a segment: those of block `slot` end at ends[slot]. */
struct keys_segment {
	uint32_t ends[FILTER_BLOCKS];
	uint32_t keys[KEYS_SEGMENT_MAX];
};

/* Of a segment, by bucket: those of bucket b end at ends[b]. */
struct keys_sorted {
	uint32_t ends[KEYS_BUCKETS];
	uint32_t entries[KEYS_SEGMENT_MAX]; /* what the bucket does not say of the key, and the slot
					     */
};

/* Never 0. */
uint32_t keys__of(struct str request_id);

/* At most KEYS_BLOCK_MAX in all. */
void keys__add(struct keys_set *set, uint32_t key);

/* Puts the set's keys at the start of `slots`; to be zeroed before the next keys__add(). */
void keys__pack(struct keys_set *set);

/* Adds the keys of the segment's block `slot`; the slots come in order. */
void keys__put(struct keys_segment *segment, unsigned slot, const uint32_t *keys, uint32_t count);

/* Of the segment's first `slots` blocks. */
void keys__sort(const struct keys_segment *segment, unsigned slots, struct keys_sorted *ret);

unsigned keys__bucket(uint32_t key);

/* The row of a segment that begins with record `first_seq`, and the other way round. */
int64_t keys__row(int64_t first_seq, unsigned bucket);
int64_t keys__first_seq(int64_t row);

/* Slots (a bit each) at which a bucket's entries, as they lie in the file, have the key. */
uint32_t keys__slots(const void *entries, size_t bytes, uint32_t key);

#endif
