/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine of bpf/fastcgi.h. First byte: the direction and the size of the reads; the rest: the
 * connection's bytes. However they are split, the same must be heard.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include "bpf/fastcgi.h"

struct heard {
	uint64_t digest; /* of the events and ids, in order */
	struct fastcgi f;
	struct http h;
	struct http_found found;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_event(struct heard *heard, enum http_event event)
{
	uint16_t len = http__id_len(&heard->h, &heard->found);

	if (event == HTTP_NONE)
		return;
	if (len > RT_ID_MAX || heard->found.traceparent_len > 64)
		abort();
	heard->digest = http_hash(heard->digest, event);
	for (uint16_t i = 0; event == HTTP_HEAD && i < len; i++)
		heard->digest = http_hash(heard->digest, (uint8_t)heard->found.id[i]);
}

static void hear(struct heard *heard, const uint8_t *data, size_t size, size_t step, bool sent)
{
	const struct http_ids ids = { { 0x1234, HTTP_HASH_CHUNKED }, 1 };

	*heard = (struct heard){ .f.state = FASTCGI_RECORD };
	http__begin(&heard->h, &heard->found);
	for (size_t at = 0; at < size;) {
		size_t left = size - at < step ? size - at : step;
		__u64 taken = 1;

		if (!fastcgi__skips(&heard->f))
			on_event(heard, fastcgi__byte(&heard->f, &heard->h, &heard->found, data[at],
						      sent, &ids));
		else
			on_event(heard, fastcgi__skip(&heard->f, left, sent, &taken));
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
	if (split.digest != whole.digest || split.f.state != whole.f.state)
		abort();
	return 0;
}
