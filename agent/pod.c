/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pod.h"

#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct entry {
	char uid[POD_UID_MAX];
	struct pod *pod;
	unsigned listing; /* the list that it was last seen in */
	UT_hash_handle hh;
};

struct pod_table {
	struct entry *entries;
	unsigned max;
	unsigned listing;
	uint64_t left_out;
	pod_fn fn;
	void *ctx;
};

struct pod *pod__new(unsigned count)
{
	struct pod *pod = calloc(1, sizeof(*pod) + count * sizeof(pod->containers[0]));

	if (pod)
		pod->count = count;
	return pod;
}

struct pod *pod__free(struct pod *pod)
{
	if (!pod)
		return NULL;
	identity__clear(&pod->early);
	identity__clear(&pod->late);
	free(pod->name);
	free(pod->space);
	free(pod->owner);
	free(pod);
	return NULL;
}

struct replica pod__replica(const struct pod *pod)
{
	struct replica replica = { 0 };

	for (int m = 0; m < IDENTITY_MEMBERS; m++)
		*identity__member(&replica, m) =
			str_from(pod->early.text[m] ? pod->early.text[m] : pod->late.text[m]);
	return replica;
}

const struct pod_container *pod__container(const struct pod *pod, const char *id)
{
	for (unsigned i = 0; i < pod->count; i++)
		if (*id && !strcmp(pod->containers[i].id, id))
			return &pod->containers[i];
	return NULL;
}

struct pod_table *pod_table__new(unsigned max, pod_fn fn, void *ctx)
{
	struct pod_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->max = max;
	table->fn = fn;
	table->ctx = ctx;
	return table;
}

static void entry_free(struct pod_table *table, struct entry *entry)
{
	HASH_DEL(table->entries, entry);
	pod__free(entry->pod);
	free(entry);
}

struct pod_table *pod_table__free(struct pod_table *table)
{
	while (table && table->entries)
		entry_free(table, table->entries);
	free(table);
	return NULL;
}

static struct entry *entry_find(const struct pod_table *table, const char *uid)
{
	struct entry *entry;

	HASH_FIND_STR(table->entries, uid, entry);
	return entry;
}

static struct entry *entry_add(struct pod_table *table, const char *uid)
{
	struct entry *entry =
		HASH_COUNT(table->entries) < table->max ? calloc(1, sizeof(*entry)) : NULL;

	if (!entry)
		return NULL;
	strcpy(entry->uid, uid);
	HASH_ADD_STR(table->entries, uid, entry);
	return entry;
}

void pod_table__put(struct pod_table *table, struct pod *pod)
{
	struct entry *entry = entry_find(table, pod->uid);
	struct pod *before = entry ? entry->pod : NULL;

	if (!entry)
		entry = entry_add(table, pod->uid);
	if (!entry) {
		table->left_out++;
		pod__free(pod);
		return;
	}
	entry->pod = pod;
	entry->listing = table->listing;
	table->fn(table->ctx, before, pod);
	pod__free(before);
}

void pod_table__remove(struct pod_table *table, const char *uid)
{
	struct entry *entry = entry_find(table, uid);

	if (!entry)
		return;
	table->fn(table->ctx, entry->pod, NULL);
	entry_free(table, entry);
}

void pod_table__list_begin(struct pod_table *table)
{
	table->listing++;
}

void pod_table__list_end(struct pod_table *table)
{
	struct entry *entry, *next;

	HASH_ITER (hh, table->entries, entry, next)
		if (entry->listing != table->listing)
			pod_table__remove(table, entry->uid);
}

const struct pod *pod_table__find(const struct pod_table *table, const char *uid)
{
	struct entry *entry = entry_find(table, uid);

	return entry ? entry->pod : NULL;
}

unsigned pod_table__count(const struct pod_table *table)
{
	return HASH_COUNT(table->entries);
}

uint64_t pod_table__left_out(const struct pod_table *table)
{
	return table->left_out;
}
