/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/roster.h"

#include <errno.h>
#include <stdlib.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define TEXTS 6

/* In one allocation: a member, the caller's bytes, the key. */
struct entry {
	struct roster_member member;
	UT_hash_handle hh;
	uint64_t extra[];
};

/* What tells replicas apart; the texts follow. */
struct key {
	uint32_t lens[TEXTS];
	char texts[];
};

struct roster {
	struct entry *entries; /* in the order of their coming */
	struct entry *newest;  /* most lines follow one of the same replica */
	uint32_t last;
	unsigned max;
	size_t extra; /* bytes, whole words */
};

static struct str *const *list(struct replica *replica, struct str *ret[TEXTS])
{
	ret[0] = &replica->replica;
	ret[1] = &replica->model_id;
	ret[2] = &replica->model_version_id;
	ret[3] = &replica->environment;
	ret[4] = &replica->chainlet_id;
	ret[5] = &replica->training_job_id;
	return ret;
}

static size_t texts_len(const struct replica *replica)
{
	struct replica from = *replica;
	struct str *texts[TEXTS];
	size_t len = 0;

	list(&from, texts);
	for (int i = 0; i < TEXTS; i++)
		len += texts[i]->len;
	return len;
}

/* `from` with its texts copied to `to`. */
static struct replica copy_texts(struct replica from, char *to)
{
	struct str *texts[TEXTS];

	list(&from, texts);
	for (int i = 0; i < TEXTS; i++) {
		if (texts[i]->len)
			memcpy(to, texts[i]->data, texts[i]->len);
		texts[i]->data = to;
		to += texts[i]->len;
	}
	return from;
}

struct replica *replica_copy(const struct replica *replica)
{
	struct replica *copy = malloc(sizeof(*copy) + texts_len(replica));

	if (copy)
		*copy = copy_texts(*replica, (char *)(copy + 1));
	return copy;
}

static bool equal(const struct replica *a, const struct replica *b)
{
	return str_equal(a->replica, b->replica) && str_equal(a->environment, b->environment) &&
	       str_equal(a->model_version_id, b->model_version_id) &&
	       str_equal(a->model_id, b->model_id) && str_equal(a->chainlet_id, b->chainlet_id) &&
	       str_equal(a->training_job_id, b->training_job_id);
}

static void forget(struct roster *roster, struct entry *entry)
{
	if (roster->newest == entry)
		roster->newest = NULL;
	HASH_DEL(roster->entries, entry);
	free(entry);
}

struct roster *roster__new(uint32_t last, unsigned max, size_t extra)
{
	struct roster *roster = calloc(1, sizeof(*roster));

	if (!roster)
		return NULL;
	roster->last = last;
	roster->max = max;
	roster->extra = (extra + 7) / 8 * 8;
	return roster;
}

struct roster *roster__free(struct roster *roster)
{
	while (roster && roster->entries)
		forget(roster, roster->entries);
	free(roster);
	return NULL;
}

/* Not in the roster yet. */
static struct entry *make(const struct roster *roster, const struct replica *replica,
			  struct key **ret_key, size_t *ret_len)
{
	size_t len = sizeof(struct key) + texts_len(replica);
	struct entry *entry = calloc(1, sizeof(*entry) + roster->extra + len);
	struct str *texts[TEXTS];

	if (!entry)
		return NULL;
	*ret_key = (void *)((char *)entry->extra + roster->extra);
	*ret_len = len;
	entry->member.replica = copy_texts(*replica, (*ret_key)->texts);
	list(&entry->member.replica, texts);
	for (int i = 0; i < TEXTS; i++)
		(*ret_key)->lens[i] = texts[i]->len;
	return entry;
}

/* The entry that is there, else a new one of this number. NULL: no memory. */
static struct entry *get(struct roster *roster, const struct replica *replica, uint32_t number)
{
	struct entry *entry, *made;
	struct key *key;
	size_t len;

	made = make(roster, replica, &key, &len);
	if (!made)
		return NULL;
	HASH_FIND(hh, roster->entries, key, len, entry);
	if (entry) {
		free(made);
		return entry;
	}
	if (HASH_COUNT(roster->entries) >= roster->max)
		forget(roster, roster->entries);
	made->member.number = number;
	HASH_ADD_KEYPTR(hh, roster->entries, key, len, made);
	if (number > roster->last)
		roster->last = number;
	return made;
}

const struct roster_member *roster__get(struct roster *roster, const struct replica *replica)
{
	if (!roster->newest || !equal(&roster->newest->member.replica, replica))
		roster->newest = get(roster, replica, roster->last + 1);
	return roster->newest ? &roster->newest->member : NULL;
}

void *roster__extra(const struct roster_member *member)
{
	return ((struct entry *)member)->extra;
}

int roster__add(struct roster *roster, const struct replica *replica, uint32_t number)
{
	return get(roster, replica, number) ? 0 : -ENOMEM;
}

const struct roster_member *roster__next(const struct roster *roster,
					 const struct roster_member *member)
{
	const struct entry *next =
		member ? ((const struct entry *)member)->hh.next : roster->entries;

	return next ? &next->member : NULL;
}
