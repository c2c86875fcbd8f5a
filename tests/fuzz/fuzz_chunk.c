/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of history's file as records: what is read is within them, and written again is the same.
 */
#include <stdlib.h>
#include "agent/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(const uint8_t *data, size_t size, struct str text)
{
	const uint8_t *begin = (const uint8_t *)text.data;

	if (text.len && (begin < data || text.len > size || begin + text.len > data + size))
		abort();
}

static void check(const uint8_t *data, size_t size, const struct record *record)
{
	within(data, size, record->request_id);
	within(data, size, record->message);
	within(data, size, record->exc_info);
	within(data, size, record->body);
	if (chunk__level(record->severity) >= CHUNK_LEVELS)
		abort();
}

/* Texts and what is not a clock's survive a second writing. */
static void again(const struct record *record, const struct chunk_entry *entry)
{
	size_t len = chunk__entry_size(record), at = 0;
	uint8_t *bytes = malloc(len);
	struct chunk_entry other;
	struct record read;

	chunk__put(bytes, record, entry->identity, entry->missing);
	if (chunk__next(bytes, len, &at, &read, &other) || at != len ||
	    !str_equal(read.request_id, record->request_id) ||
	    !str_equal(read.message, record->message) ||
	    !str_equal(read.exc_info, record->exc_info) || !str_equal(read.body, record->body) ||
	    read.time_ns != record->time_ns || read.severity != record->severity ||
	    other.missing != entry->missing)
		abort();
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct chunk_entry entry;
	struct record record;
	size_t at = 0;

	while (!chunk__next(data, size, &at, &record, &entry)) {
		if (at > size)
			abort();
		check(data, size, &record);
		again(&record, &entry);
	}
	return 0;
}
