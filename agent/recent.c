/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/recent.h"

#include <stdlib.h>
#include "agent/scan.h"

#define SLOTS (2 * RECENT_RECORDS) /* half empty: a search ends soon */

_Static_assert((SLOTS & (SLOTS - 1)) == 0, "a mask is taken of it");

/* Keys as they come, each in the first free slot from its own on. */
enum { EMPTY, TAKEN, FIRST_KEY };

struct recent {
	unsigned count;
	uint64_t keys[SLOTS];
};

static uint64_t key(const struct record *record)
{
	uint64_t h = str_hash(STR_HASH, &record->written_ns, sizeof(record->written_ns));

	h = str_hash(h, &record->tid, sizeof(record->tid));
	h = str_hash(h, &record->stream, sizeof(record->stream));
	h = str_hash(h, record->body.data, record->body.len);
	h = str_hash(h, record->exc_info.data, record->exc_info.len);
	h ^= h >> 32;
	return h < FIRST_KEY ? h + FIRST_KEY : h;
}

static void add(struct recent *recent, const struct record *record)
{
	uint64_t k = key(record);
	size_t slot = k & (SLOTS - 1);

	while (recent->keys[slot] != EMPTY)
		slot = (slot + 1) & (SLOTS - 1);
	recent->keys[slot] = k;
	recent->count++;
}

bool recent__take(struct recent *recent, const struct record *record)
{
	uint64_t k = key(record);

	if (!record->written_ns) /* the agent's own */
		return false;
	for (size_t slot = k & (SLOTS - 1); recent->keys[slot] != EMPTY;
	     slot = (slot + 1) & (SLOTS - 1)) {
		if (recent->keys[slot] != k)
			continue;
		recent->keys[slot] = TAKEN;
		return true;
	}
	return false;
}

static void read_chunk(struct recent *recent, const struct scan_chunk *chunk)
{
	struct chunk_entry entry;
	struct record record;
	size_t at = 0;

	while (recent->count < RECENT_RECORDS &&
	       !chunk__next(chunk->data, chunk->len, &at, &record, &entry))
		if (record.written_ns)
			add(recent, &record);
}

struct recent *recent__read(const char *path)
{
	const struct scan_plan all = { .until_ns = UINT64_MAX, .levels = ~0U, .notices = true };
	struct recent *recent = calloc(1, sizeof(*recent));
	struct scan_chunk chunk;
	struct scan *scan;
	int64_t cursor = INT64_MAX;
	int err;

	scan = recent ? scan__open(path, &err) : NULL;
	if (!scan) {
		free(recent);
		return NULL;
	}
	scan__begin(scan, &all);
	while (recent->count < RECENT_RECORDS && !scan__before(scan, &cursor, &chunk) &&
	       !scan__load(scan, &chunk))
		read_chunk(recent, &chunk);
	scan__close(scan);
	return recent->count ? recent : recent__free(recent);
}

struct recent *recent__free(struct recent *recent)
{
	free(recent);
	return NULL;
}
