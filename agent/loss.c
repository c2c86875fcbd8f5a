/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/loss.h"

#include <stdlib.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct count {
	uint32_t writes, bytes;
};

struct entry {
	struct stream_key key;
	struct count told;
	struct count late; /* what the stream's own count was at the last look */
	UT_hash_handle hh;
};

struct loss_table {
	struct entry *entries; /* the oldest first */
	struct entry *last;
};

struct loss_table *loss_table__new(void)
{
	return calloc(1, sizeof(struct loss_table));
}

static void entry_free(struct loss_table *table, struct entry *entry)
{
	HASH_DEL(table->entries, entry);
	if (table->last == entry)
		table->last = NULL;
	free(entry);
}

struct loss_table *loss_table__free(struct loss_table *table)
{
	while (table && table->entries)
		entry_free(table, table->entries);
	free(table);
	return NULL;
}

/* The stream's entry, made when it is new. NULL: out of memory. */
static struct entry *find(struct loss_table *table, uint64_t inode, uint32_t device)
{
	struct stream_key key = { .inode = inode, .device = device };
	struct entry *entry = table->last;

	if (entry && !memcmp(&entry->key, &key, sizeof(key)))
		return entry;
	HASH_FIND(hh, table->entries, &key, sizeof(key), entry);
	if (!entry) {
		if (HASH_COUNT(table->entries) >= LOSS_STREAMS_MAX)
			entry_free(table, table->entries);
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return NULL;
		entry->key = key;
		HASH_ADD(hh, table->entries, key, sizeof(entry->key), entry);
	}
	return table->last = entry;
}

/*
 * Both counters wrap; and of threads that write at once one may come late with an older count,
 * which is no news.
 */
static uint32_t news(uint32_t *told, uint32_t count)
{
	uint32_t more = count - *told;

	if (more > INT32_MAX)
		return 0;
	*told = count;
	return more;
}

void loss_table__fragment(struct loss_table *table, const struct event_fragment *fragment,
			  uint32_t *ret_writes, uint32_t *ret_bytes)
{
	struct entry *entry = NULL;

	*ret_writes = *ret_bytes = 0;
	if (fragment->lost_writes || fragment->lost_bytes)
		entry = find(table, fragment->inode, fragment->device);
	if (!entry)
		return;
	*ret_writes = news(&entry->told.writes, fragment->lost_writes);
	*ret_bytes = news(&entry->told.bytes, fragment->lost_bytes);
}

void loss_table__late(struct loss_table *table, const struct stream_key *key,
		      const struct stream *stream, uint32_t *ret_writes, uint32_t *ret_bytes)
{
	struct entry *entry = NULL;

	*ret_writes = *ret_bytes = 0;
	if (stream->lost_writes || stream->lost_bytes)
		entry = find(table, key->inode, key->device);
	if (!entry)
		return;
	*ret_writes = news(&entry->told.writes, entry->late.writes);
	*ret_bytes = news(&entry->told.bytes, entry->late.bytes);
	entry->late = (struct count){ stream->lost_writes, stream->lost_bytes };
}
