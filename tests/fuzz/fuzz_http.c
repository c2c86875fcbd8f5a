/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header machine of bpf/http.h. First byte: the direction and the size of the reads; the
 * rest: the connection's bytes. However they are split, the same must be heard.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "bpf/http.h"

struct heard {
	uint64_t digest; /* of the events and ids, in order */
	struct http h;
	struct http_found found;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note(struct heard *heard, uint64_t value)
{
	heard->digest = (heard->digest ^ value) * FNV_PRIME;
}

static void on_event(struct heard *heard, enum http_event event)
{
	struct http *h = &heard->h;
	uint16_t len = http__id_len(h, &heard->found);

	if (event == HTTP_NONE)
		return;
	note(heard, event);
	if (len > RT_ID_MAX || heard->found.traceparent_len > 64)
		abort();
	for (uint16_t i = 0; event == HTTP_HEAD && i < len; i++)
		note(heard, (uint8_t)heard->found.id[i]);
	if (event == HTTP_END || (h->state == HTTP_BODY && !h->body_left))
		http__begin(h, &heard->found);
}

static void hear(struct heard *heard, const uint8_t *data, size_t size, size_t step, bool response)
{
	const struct http_ids ids = { { 0x1234, HTTP_HASH_CHUNKED }, 1 };
	enum http_event event;

	*heard = (struct heard){ .h.response = response };
	http__begin(&heard->h, &heard->found);
	for (size_t at = 0; at < size;) {
		size_t left = size - at < step ? size - at : step;
		__u64 taken = 1;

		if (!http__skips(&heard->h)) {
			__u64 bytes = 0;

			memcpy(&bytes, data + at, left < 8 ? left : 8);
			if (left >= 8 && http__passes(&heard->h, bytes)) {
				at += 8;
				continue;
			}
			at += http__word(&heard->h, &heard->found, bytes, left, &ids, &event);
			on_event(heard, event);
			continue;
		}
		on_event(heard, http__skip(&heard->h, left, &taken));
		if (!taken || taken > left)
			abort();
		at += taken;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct heard split, whole;

	if (size < 2)
		return 0;
	hear(&split, data + 1, size - 1, 1 + (data[0] >> 1), data[0] & 1);
	hear(&whole, data + 1, size - 1, size, data[0] & 1);
	if (split.digest != whole.digest || split.h.state != whole.h.state)
		abort();
	return 0;
}
