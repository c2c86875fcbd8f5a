/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2: the frames of bpf/http2.h and the decoder behind them. First byte: the size of the reads,
 * and whether the connection was joined on its way; the rest: its bytes. However they are split,
 * the same must be heard. Pieces of any shape, which no kernel side would send, go to the decoder
 * besides.
 */
#include "tests/http2_drive.h"

struct heard {
	uint64_t digest; /* of the requests, in order */
	uint64_t count;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const headers[] = { "x-baseten-request-id", "x-request-id", NULL };

static void hear(void *ctx, const struct event_request *event)
{
	struct heard *heard = ctx;

	if (event->request.id_len > RT_ID_MAX)
		abort();
	heard->count++;
	heard->digest = http_hash(heard->digest, event->request.stream);
	for (unsigned i = 0; i < event->request.id_len; i++)
		heard->digest = http_hash(heard->digest, event->request.id[i]);
}

static struct heard listen_to(const uint8_t *data, size_t size, size_t read, bool joined)
{
	struct heard heard = { FNV_BASIS, 0 };
	struct drive d = { .joined = joined };

	d.decoder = http2_decoder__new(headers, hear, &heard);
	http2__begin(&d.h, !joined, joined);
	drive_bytes(&d, data, size, read);
	heard.digest = http_hash(heard.digest, d.h.state);
	heard.digest = http_hash(heard.digest, d.ended + 3 * d.resets + 5 * d.blocks);
	if (heard.count != d.begun || http2_decoder__stats(d.decoder)->bytes > HTTP2_TABLES_BYTES)
		abort();
	http2_decoder__free(d.decoder);
	return heard;
}

/* The event's own members from the input, too. */
static void pieces(const uint8_t *data, size_t size)
{
	struct heard heard = { FNV_BASIS, 0 };
	struct http2_decoder *decoder = http2_decoder__new(headers, hear, &heard);
	struct event_headers *event = malloc(sizeof(*event) + 256);

	while (size > 8) {
		uint32_t len = data[7] < size - 8 ? data[7] : size - 8;

		*event = (struct event_headers){
			.conn = data[0] & 3,
			.number = data[1],
			.frame_bytes = data[2] * 3,
			.offset = data[3],
			.type = data[4] & 1 ? HTTP2_HEADERS : HTTP2_CONTINUATION,
			.flags = data[5],
			.joined = data[6] & 1,
			.closed = data[6] == 0x80,
			.seq = data[6] & 2,
			.len = len,
		};
		memcpy(event->data, data + 8, len);
		http2_decoder__piece(decoder, event);
		data += 8 + len;
		size -= 8 + len;
	}
	free(event);
	http2_decoder__free(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct heard split, whole;

	if (size < 2)
		return 0;
	split = listen_to(data + 1, size - 1, 1 + (data[0] >> 1), data[0] & 1);
	whole = listen_to(data + 1, size - 1, size, data[0] & 1);
	if (split.digest != whole.digest)
		abort();
	pieces(data + 1, size - 1);
	return 0;
}
