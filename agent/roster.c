/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/roster.h"

#include <errno.h>
#include <stdlib.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define MEMBERS 6

struct member {
	struct replica *replica;
	char *key; /* the members' lengths and texts */
	uint32_t number;
	UT_hash_handle hh;
};

struct roster {
	struct member *members; /* in the order of their coming */
	struct member *newest;  /* most lines follow one of the same replica */
	uint32_t last;
};

static struct str *const *list(struct replica *replica, struct str *ret[MEMBERS])
{
	ret[0] = &replica->replica;
	ret[1] = &replica->model_id;
	ret[2] = &replica->model_version_id;
	ret[3] = &replica->environment;
	ret[4] = &replica->chainlet_id;
	ret[5] = &replica->training_job_id;
	return ret;
}

struct replica *replica_copy(const struct replica *replica)
{
	struct replica from = *replica, *copy;
	struct str *texts[MEMBERS];
	size_t size = sizeof(*copy);
	char *to;

	list(&from, texts);
	for (int i = 0; i < MEMBERS; i++)
		size += texts[i]->len;
	copy = malloc(size);
	if (!copy)
		return NULL;
	to = (char *)(copy + 1);
	for (int i = 0; i < MEMBERS; i++) {
		if (texts[i]->len)
			memcpy(to, texts[i]->data, texts[i]->len);
		texts[i]->data = to;
		to += texts[i]->len;
	}
	*copy = from;
	return copy;
}

static bool equal(const struct replica *a, const struct replica *b)
{
	return str_equal(a->replica, b->replica) && str_equal(a->environment, b->environment) &&
	       str_equal(a->model_version_id, b->model_version_id) &&
	       str_equal(a->model_id, b->model_id) && str_equal(a->chainlet_id, b->chainlet_id) &&
	       str_equal(a->training_job_id, b->training_job_id);
}

static char *make_key(const struct replica *replica, size_t *ret_len)
{
	struct replica from = *replica;
	struct str *texts[MEMBERS];
	size_t size = 0;
	char *key, *to;

	list(&from, texts);
	for (int i = 0; i < MEMBERS; i++)
		size += sizeof(texts[i]->len) + texts[i]->len;
	key = to = malloc(size);
	for (int i = 0; i < MEMBERS && key; i++) {
		memcpy(to, &texts[i]->len, sizeof(texts[i]->len));
		to += sizeof(texts[i]->len);
		if (texts[i]->len)
			memcpy(to, texts[i]->data, texts[i]->len);
		to += texts[i]->len;
	}
	*ret_len = size;
	return key;
}

static void forget(struct roster *roster, struct member *member)
{
	if (roster->newest == member)
		roster->newest = NULL;
	HASH_DEL(roster->members, member);
	free(member->replica);
	free(member->key);
	free(member);
}

struct roster *roster__new(uint32_t last)
{
	struct roster *roster = calloc(1, sizeof(*roster));

	if (roster)
		roster->last = last;
	return roster;
}

struct roster *roster__free(struct roster *roster)
{
	while (roster && roster->members)
		forget(roster, roster->members);
	free(roster);
	return NULL;
}

/* Takes `key`. */
static struct member *add(struct roster *roster, const struct replica *replica, char *key,
			  size_t len, uint32_t number)
{
	struct member *member = calloc(1, sizeof(*member));

	if (HASH_COUNT(roster->members) >= ROSTER_MAX)
		forget(roster, roster->members);
	if (member) {
		member->key = key;
		member->number = number;
		member->replica = replica_copy(replica);
	}
	if (!member || !member->replica) {
		free(member);
		free(key);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, roster->members, member->key, len, member);
	if (number > roster->last)
		roster->last = number;
	return member;
}

int roster__add(struct roster *roster, const struct replica *replica, uint32_t number)
{
	size_t len;
	char *key = make_key(replica, &len);

	return key && add(roster, replica, key, len, number) ? 0 : -ENOMEM;
}

uint32_t roster__number(struct roster *roster, const struct replica *replica,
			const struct replica **ret_copy)
{
	struct member *member = roster->newest;
	size_t len;
	char *key;

	if (!member || !equal(member->replica, replica)) {
		key = make_key(replica, &len);
		if (!key)
			return 0;
		HASH_FIND(hh, roster->members, key, len, member);
		if (member)
			free(key);
		else
			member = add(roster, replica, key, len, roster->last + 1);
	}
	roster->newest = member;
	if (!member)
		return 0;
	*ret_copy = member->replica;
	return member->number;
}
