/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/flight.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct id_key {
	uint64_t container;
	char id[FLIGHT_ID_MAX];
};

struct entry {
	UT_hash_handle hh; /* by the container and as much of the key as the id has */
	uint64_t seq;
	uint64_t until_ns; /* 0: unanswered */
	size_t id_len;
	struct id_key key;
};

/* The unanswered requests of a container: of one alone, the sum of the numbers is its number. */
struct crowd {
	UT_hash_handle hh;
	uint64_t container;
	uint64_t count, sum;
};

struct flight {
	struct entry *entries;
	struct crowd *crowds;
	struct id_key scratch;
	uint32_t filter[FLIGHT_FILTER]; /* how many ids begin so */
};

struct flight *flight__new(void)
{
	return calloc(1, sizeof(struct flight));
}

/* Of the first FLIGHT_ID_MIN bytes and the container. */
static uint32_t slot(uint64_t container, const char *id)
{
	uint64_t first, second;

	memcpy(&first, id, 8);
	memcpy(&second, id + 8, 8);
	first = (first ^ container) * 0x9e3779b97f4a7c15; /* 2^64 / the golden ratio */
	return ((first ^ second) * 0x9e3779b97f4a7c15) >> 50;
}

_Static_assert(FLIGHT_FILTER == 1 << (64 - 50), "slot()");

static struct entry *lookup(struct flight *f, uint64_t container, struct str id)
{
	struct entry *entry = NULL;

	if (id.len < FLIGHT_ID_MIN || id.len > FLIGHT_ID_MAX)
		return NULL;
	f->scratch.container = container;
	memcpy(f->scratch.id, id.data, id.len);
	HASH_FIND(hh, f->entries, &f->scratch, sizeof(container) + id.len, entry);
	return entry;
}

static void entry_free(struct flight *f, struct entry *entry)
{
	f->filter[slot(entry->key.container, entry->key.id)]--;
	HASH_DEL(f->entries, entry);
	free(entry);
}

struct flight *flight__free(struct flight *f)
{
	while (f && f->entries)
		entry_free(f, f->entries);
	while (f && f->crowds) {
		struct crowd *crowd = f->crowds;

		HASH_DEL(f->crowds, crowd);
		free(crowd);
	}
	free(f);
	return NULL;
}

static int crowd_join(struct flight *f, uint64_t container, uint64_t seq)
{
	struct crowd *crowd;

	HASH_FIND(hh, f->crowds, &container, sizeof(container), crowd);
	if (!crowd) {
		crowd = calloc(1, sizeof(*crowd));
		if (!crowd)
			return -ENOMEM;
		crowd->container = container;
		HASH_ADD(hh, f->crowds, container, sizeof(crowd->container), crowd);
	}
	crowd->count++;
	crowd->sum += seq;
	return 0;
}

static void crowd_leave(struct flight *f, uint64_t container, uint64_t seq)
{
	struct crowd *crowd;

	HASH_FIND(hh, f->crowds, &container, sizeof(container), crowd);
	if (!crowd)
		return;
	crowd->count--;
	crowd->sum -= seq;
	if (crowd->count)
		return;
	HASH_DEL(f->crowds, crowd);
	free(crowd);
}

int flight__begin(struct flight *f, uint64_t container, struct str id, uint64_t seq)
{
	struct entry *entry = lookup(f, container, id);
	int err = crowd_join(f, container, seq);

	if (err || id.len < FLIGHT_ID_MIN || id.len > FLIGHT_ID_MAX)
		return err;
	if (entry) {
		entry->seq = seq;
		entry->until_ns = 0;
		return 0;
	}
	if (HASH_COUNT(f->entries) >= FLIGHT_MAX)
		return -ENOSPC;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->seq = seq;
	entry->id_len = id.len;
	entry->key.container = container;
	memcpy(entry->key.id, id.data, id.len);
	HASH_ADD(hh, f->entries, key, sizeof(container) + id.len, entry);
	f->filter[slot(container, id.data)]++;
	return 0;
}

void flight__end(struct flight *f, uint64_t container, struct str id, uint64_t seq,
		 uint64_t until_ns)
{
	struct entry *entry = lookup(f, container, id);

	crowd_leave(f, container, seq);
	if (entry && entry->seq == seq)
		entry->until_ns = until_ns;
}

void flight__forget(struct flight *f, uint64_t container, struct str id, uint64_t seq)
{
	struct entry *entry = lookup(f, container, id);

	if (entry && entry->seq == seq)
		entry_free(f, entry);
}

static const bool id_byte[256] = {
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
	['-'] = true,         ['_'] = true,         ['.'] = true,
};

static bool separates(char c)
{
	return c == '-' || c == '_' || c == '.';
}

/* The longest id that begins at `from` and ends where a part of the token does. */
static struct entry *part_find(struct flight *f, uint64_t container, struct str token, size_t from)
{
	size_t ends[FLIGHT_PARTS + 1];
	unsigned count = 0;

	if (token.len < from + FLIGHT_ID_MIN || !f->filter[slot(container, token.data + from)])
		return NULL;
	for (size_t i = from + FLIGHT_ID_MIN; i < token.len && count < FLIGHT_PARTS; i++)
		if (separates(token.data[i]))
			ends[count++] = i;
	ends[count++] = token.len;
	while (count--) {
		struct str id = { token.data + from, ends[count] - from };
		struct entry *entry = lookup(f, container, id);

		if (entry)
			return entry;
	}
	return NULL;
}

/* A token is an id, or carries one: "chatcmpl-<id>", "cmpl-<id>-0". */
static struct entry *token_find(struct flight *f, uint64_t container, struct str token)
{
	struct entry *entry = part_find(f, container, token, 0);
	unsigned parts = 1;

	for (size_t i = 0; !entry && i + FLIGHT_ID_MIN < token.len && parts < FLIGHT_PARTS; i++) {
		if (!separates(token.data[i]))
			continue;
		parts++;
		entry = part_find(f, container, token, i + 1);
	}
	return entry;
}

int flight__find(struct flight *f, uint64_t container, struct str text, uint64_t now_ns,
		 uint64_t *ret_seq)
{
	struct entry *found = NULL;
	unsigned tokens = 0;

	for (size_t i = 0; f->entries && i < text.len && tokens < FLIGHT_TOKENS; i++) {
		struct entry *entry;
		size_t start = i;

		while (i < text.len && id_byte[(uint8_t)text.data[i]])
			i++;
		if (i - start < FLIGHT_ID_MIN)
			continue;
		tokens++;
		entry = token_find(f, container, (struct str){ text.data + start, i - start });
		if (!entry || entry == found || (entry->until_ns && entry->until_ns < now_ns))
			continue;
		if (found)
			return -EEXIST;
		found = entry;
	}
	if (!found)
		return -ENOENT;
	*ret_seq = found->seq;
	return 0;
}

int flight__sole(struct flight *f, uint64_t container, uint64_t *ret_seq)
{
	struct crowd *crowd;

	HASH_FIND(hh, f->crowds, &container, sizeof(container), crowd);
	if (!crowd || crowd->count != 1)
		return -ENOENT;
	*ret_seq = crowd->sum;
	return 0;
}
