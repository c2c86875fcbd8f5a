/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2: the frames of bpf/http2.h, the same code that the kernel runs, and the decoder. */
#include "tests/unit/unit.h"
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include "tests/http2_drive.h"

#define REQUESTS 64

static const char *const headers[] = { "x-baseten-request-id", "x-request-id", NULL };

struct fixture {
	struct drive drive;
	nghttp2_hd_deflater *deflater;
	uint8_t bytes[2 << 20]; /* on the wire */
	size_t len;
	unsigned heard;
	struct request requests[REQUESTS];
};

static void hear(void *ctx, const struct event_request *event)
{
	struct fixture *f = ctx;

	assert_int_equal(event->head.kind, RT_EVENT_REQUEST);
	f->requests[f->heard++ % REQUESTS] = event->request;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->drive.decoder = http2_decoder__new(headers, hear, f);
	http2__begin(&f->drive.h, false, false);
	nghttp2_hd_deflate_new(&f->deflater, 4096);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	http2_decoder__free(f->drive.decoder);
	nghttp2_hd_deflate_del(f->deflater);
	free(f);
	return 0;
}

static void frame(struct fixture *f, uint8_t type, uint8_t flags, uint32_t stream, const void *data,
		  size_t len)
{
	const uint8_t head[] = { len >> 16,    len >> 8,     len,         type,  flags,
				 stream >> 24, stream >> 16, stream >> 8, stream };

	memcpy(f->bytes + f->len, head, sizeof(head));
	if (len)
		memcpy(f->bytes + f->len + sizeof(head), data, len);
	f->len += sizeof(head) + len;
}

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), 0 };
}

/* The block of a request with these fields, through the table. */
static size_t block(struct fixture *f, const char *name, const char *id, uint8_t *to, size_t size)
{
	nghttp2_nv fields[] = { field(":method", "POST"), field(":path", "/"),
				field(name, id ? id : "") };
	ssize_t len = nghttp2_hd_deflate_hd(f->deflater, to, size, fields, id ? 3 : 2);

	assert_true(len > 0);
	return len;
}

static void request(struct fixture *f, uint32_t stream, const char *id)
{
	uint8_t data[1024];
	size_t len = block(f, "x-baseten-request-id", id, data, sizeof(data));

	frame(f, HTTP2_HEADERS, HTTP2_END_HEADERS, stream, data, len);
}

static void run(struct fixture *f, size_t read)
{
	drive_bytes(&f->drive, f->bytes, f->len, read);
	f->len = 0;
}

static void assert_id(const struct fixture *f, unsigned index, const char *id)
{
	assert_true(f->heard > index);
	assert_int_equal(f->requests[index].id_len, strlen(id));
	assert_memory_equal(f->requests[index].id, id, strlen(id));
	assert_int_equal(f->requests[index].id[strlen(id) % RT_ID_MAX], 0);
}

static void test_preface(void **state)
{
	static const char preface[] = "* HTTP/2.0\r\n\r\nSM\r\n\r\n";
	struct fixture *f = *state;
	uint64_t hash = FNV_BASIS;

	for (size_t i = 0; i < sizeof(preface) - 1; i++)
		hash = http_hash(hash, preface[i]);
	assert_true(hash == HTTP2_HASH_PREFACE);
	assert_int_equal(sizeof(preface) - 1, HTTP2_PREFACE_REST);
	http2__begin(&f->drive.h, true, false);
	drive_bytes(&f->drive, (const uint8_t *)preface, sizeof(preface) - 1, 3);
	request(f, 1, "one");
	run(f, 7);
	assert_id(f, 0, "one");
}

static void test_no_preface(void **state)
{
	struct fixture *f = *state;

	http2__begin(&f->drive.h, true, false);
	drive_bytes(&f->drive, (const uint8_t *)"/ HTTP/1.1\r\nhost: example\r\n\r\n", 30, 30);
	assert_int_equal(f->drive.h.state, HTTP2_LOST);
}

/* One connection's worth, split at every width: the same is heard. */
static void test_splits(void **state)
{
	struct fixture *f = *state;
	char id[RT_ID_MAX + 1];

	for (size_t read = 1; read < 70; read++) {
		http2_decoder__free(f->drive.decoder);
		nghttp2_hd_deflate_del(f->deflater);
		nghttp2_hd_deflate_new(&f->deflater, 4096);
		f->drive = (struct drive){ .decoder = http2_decoder__new(headers, hear, f),
					   .piece_max = read % 5 ? 0 : 3 };
		f->heard = 0;
		http2__begin(&f->drive.h, false, false);
		frame(f, HTTP2_SETTINGS, 0, 0, NULL, 0);
		for (unsigned i = 0; i < 5; i++) {
			snprintf(id, sizeof(id), "id-%u-with-some-length", i);
			request(f, 2 * i + 1, id);
			frame(f, HTTP2_DATA, HTTP2_END_STREAM, 2 * i + 1, "xxxxxxxxxxxxxxxxxxxx",
			      20);
		}
		run(f, read);
		assert_int_equal(f->heard, 5);
		assert_int_equal(f->drive.ended, 5);
		for (unsigned i = 0; i < 5; i++) {
			snprintf(id, sizeof(id), "id-%u-with-some-length", i);
			assert_id(f, i, id);
			assert_int_equal(f->requests[i].stream, 2 * i + 1);
			assert_int_equal(f->requests[i].seq, i + 1);
		}
	}
}

static void test_continuation_padding_priority(void **state)
{
	struct fixture *f = *state;
	uint8_t data[1024], padded[1024] = { 9 }; /* nine bytes of padding */
	size_t len = block(f, "x-baseten-request-id", "padded", data, sizeof(data));

	memset(padded + 1, 0, 5); /* priority */
	memcpy(padded + 6, data, 10);
	memset(padded + 16, 0xff, 9);
	frame(f, HTTP2_HEADERS, HTTP2_PADDED | HTTP2_HAS_PRIORITY | HTTP2_END_STREAM, 1, padded,
	      25);
	frame(f, HTTP2_CONTINUATION, 0, 1, data + 10, 4);
	frame(f, HTTP2_CONTINUATION, 0, 1, NULL, 0);
	frame(f, HTTP2_CONTINUATION, 0, 1, data + 14, len - 14);
	frame(f, HTTP2_CONTINUATION, HTTP2_END_HEADERS, 1, NULL, 0);
	run(f, 4);
	assert_id(f, 0, "padded");
	assert_int_equal(f->heard, 1);
	assert_int_equal(f->drive.blocks, 1);
	assert_int_equal(f->drive.ended, 1);
}

static void test_values(void **state)
{
	struct fixture *f = *state;
	uint8_t data[2048];
	char longest[RT_ID_MAX + 2];
	size_t len;

	memset(longest, 'a', sizeof(longest));
	longest[RT_ID_MAX] = 0;
	request(f, 1, "8c1f:alice");
	request(f, 3, longest);
	longest[RT_ID_MAX] = 'a';
	longest[RT_ID_MAX + 1] = 0;
	request(f, 5, longest); /* never cut */
	request(f, 7, "no text");
	request(f, 9, NULL);
	len = block(f, "x-request-id", "second-best", data, sizeof(data));
	frame(f, HTTP2_HEADERS, HTTP2_END_HEADERS, 11, data, len);
	run(f, 4096);
	assert_id(f, 0, "8c1f");
	assert_int_equal(f->requests[1].id_len, RT_ID_MAX);
	for (int i = 2; i < 5; i++)
		assert_int_equal(f->requests[i].id_len, 0);
	assert_id(f, 5, "second-best");
	assert_int_equal(http2_decoder__stats(f->drive.decoder)->without_id, 3);
	assert_int_equal(http2_decoder__stats(f->drive.decoder)->unknown, 0);
}

/* Trailers change the table, and begin nothing. */
static void test_trailers(void **state)
{
	struct fixture *f = *state;
	uint8_t data[1024];
	size_t len;

	request(f, 1, "first");
	len = block(f, "x-baseten-request-id", "of-the-trailers", data, sizeof(data));
	frame(f, HTTP2_HEADERS, HTTP2_END_HEADERS | HTTP2_END_STREAM, 1, data, len);
	request(f, 3, "of-the-trailers"); /* an index by now */
	run(f, 64);
	assert_int_equal(f->heard, 2);
	assert_id(f, 0, "first");
	assert_id(f, 1, "of-the-trailers");
}

/* Older entries are not known, newer ones are; nothing is taken for another. */
static void test_join(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 3; i++)
		request(f, 2 * i + 1, i == 1 ? "before-b" : "before-a");
	f->len = 0; /* not seen */
	f->drive.joined = true;
	http2__begin(&f->drive.h, false, true);
	request(f, 7, "before-a");
	request(f, 9, "after");
	request(f, 11, "after");
	request(f, 13, "before-b");
	run(f, 4096);
	assert_int_equal(f->heard, 4);
	assert_int_equal(f->requests[0].id_len, 0);
	/* a value of its own, but a name that was sent before */
	assert_int_equal(f->requests[1].id_len, 0);
	assert_int_equal(f->requests[3].id_len, 0);
	assert_int_equal(http2_decoder__stats(f->drive.decoder)->unknown, 4);
	assert_int_equal(http2_decoder__stats(f->drive.decoder)->lost, 0);
}

static void test_join_literal(void **state)
{
	static const uint8_t literal[] = "\x00\x14x-baseten-request-id\x05right";
	struct fixture *f = *state;

	request(f, 1, "before");
	f->len = 0;
	f->drive.joined = true;
	frame(f, HTTP2_HEADERS, HTTP2_END_HEADERS, 3, literal, sizeof(literal) - 1);
	run(f, 4096);
	assert_id(f, 0, "right");
}

/* A lost piece costs what came before it, on its connection alone. */
static void test_gap(void **state)
{
	struct fixture *f = *state;
	struct drive other = { .decoder = f->drive.decoder, .conn = 99 };
	uint8_t bytes[1024];
	size_t len;

	http2__begin(&other.h, false, false);
	request(f, 1, "kept");
	request(f, 3, "kept"); /* refers to the table */
	memcpy(bytes, f->bytes, len = f->len);
	run(f, 4096);
	assert_id(f, 1, "kept");
	drive_bytes(&other, bytes, len / 2, 4096);
	f->drive.pieces++;
	request(f, 5, "kept");
	run(f, 4096);
	assert_int_equal(f->requests[f->heard - 1].id_len, 0);
	drive_bytes(&other, bytes + len / 2, len - len / 2, 4096);
	assert_id(f, f->heard - 1, "kept");
	assert_int_equal(http2_decoder__stats(f->drive.decoder)->gaps, 1);
}

static void test_damaged_block(void **state)
{
	static const uint8_t index[] = { 0xff, 0xff, 0xff, 0xff, 0x0f }; /* beyond any table */
	struct fixture *f = *state;

	frame(f, HTTP2_HEADERS, HTTP2_END_HEADERS, 1, index, sizeof(index));
	request(f, 3, "literal-by-now");
	run(f, 4096);
	assert_int_equal(f->requests[0].id_len, 0);
	assert_id(f, 1, "literal-by-now");
	assert_int_equal(http2_decoder__stats(f->drive.decoder)->lost, 1);
}

static void test_ends(void **state)
{
	struct fixture *f = *state;

	request(f, 1, "a");
	frame(f, HTTP2_PUSH_PROMISE, 0, 1, "\0\0\0\2", 4);
	frame(f, HTTP2_CONTINUATION, HTTP2_END_HEADERS, 1, NULL, 0);
	assert_int_equal(f->drive.ended, 0);
	frame(f, HTTP2_RST_STREAM, 0, 1, "\0\0\0\10", 4);
	frame(f, HTTP2_GOAWAY, 0, 0, "\0\0\0\11\0\0\0\0why", 11);
	frame(f, HTTP2_WINDOW_UPDATE, 0, 0, "\0\0\1\0", 4);
	frame(f, 0xbe, 0xff, 3, "extension", 9);
	frame(f, HTTP2_DATA, HTTP2_END_STREAM, 3, NULL, 0);
	run(f, 2);
	assert_int_equal(f->drive.h.state, HTTP2_HEAD);
	assert_int_equal(f->drive.resets, 1);
	assert_int_equal(f->drive.ended, 1);
	assert_int_equal(f->drive.goaway, 9);
}

/* What is no frame ends the machine, before it makes a request of a body. */
static void test_invalid(void **state)
{
	static const uint8_t bad[][HTTP2_HEAD_BYTES] = {
		{ 0, 0, 0, HTTP2_DATA, 0, 0, 0, 0, 0 },         /* on no stream */
		{ 0, 0, 5, HTTP2_SETTINGS, 0, 0, 0, 0, 0 },     /* of five bytes */
		{ 0, 0, 5, HTTP2_CONTINUATION, 0, 0, 0, 0, 1 }, /* of no block */
		{ 0, 0, 3, HTTP2_RST_STREAM, 0, 0, 0, 0, 1 },   /* without a code */
		{ 0, 0, 8, HTTP2_PING, 0, 0, 0, 0, 1 },         /* on a stream */
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		http2__begin(&f->drive.h, false, false);
		drive_bytes(&f->drive, bad[i], sizeof(bad[i]), 9);
		assert_int_equal(f->drive.h.state, HTTP2_LOST);
	}
	http2__begin(&f->drive.h, false, false);
	frame(f, HTTP2_HEADERS, 0, 1, "x", 1); /* and another frame within the block */
	frame(f, HTTP2_DATA, 0, 1, "x", 1);
	run(f, 4096);
	assert_int_equal(f->drive.h.state, HTTP2_LOST);
}

/* A gRPC message looks like an empty DATA frame, if one is not strict. */
static void test_strict(void **state)
{
	static const uint8_t message[] = { 0, 0, 0, 0, 5, 10, 3, 'a', 'b', 'c' };
	struct fixture *f = *state;

	http2__begin(&f->drive.h, false, true);
	drive_bytes(&f->drive, message, sizeof(message), 10);
	assert_int_equal(f->drive.h.state, HTTP2_LOST);
	http2__begin(&f->drive.h, false, true);
	request(f, 1, "joined");
	run(f, 4096);
	assert_id(f, 0, "joined");
}

/* However long a block, what is shipped and kept of it is bounded; the stream is known. */
static void test_flood_of_continuation(void **state)
{
	struct fixture *f = *state;
	static uint8_t junk[16384];

	memset(junk, 0x82, sizeof(junk)); /* :method GET, again and again */
	request(f, 1, "before");
	frame(f, HTTP2_HEADERS, 0, 3, junk, sizeof(junk));
	for (int i = 0; i < 100; i++)
		frame(f, HTTP2_CONTINUATION, 0, 3, junk, sizeof(junk));
	frame(f, HTTP2_CONTINUATION, HTTP2_END_HEADERS, 3, junk, 1);
	request(f, 5, "before");
	request(f, 7, "after");
	run(f, 4096);
	assert_int_equal(f->drive.floods, 1);
	assert_true(f->drive.shipped < 2 * HTTP2_BLOCK_BYTES);
	assert_int_equal(f->heard, 4);
	assert_int_equal(f->requests[1].id_len, 0);
	assert_int_equal(f->requests[2].id_len, 0); /* refers to what was before the gap */
	assert_int_equal(f->requests[1].stream, 3);
}

static void test_flood_of_empty_frames(void **state)
{
	struct fixture *f = *state;

	frame(f, HTTP2_HEADERS, 0, 1, NULL, 0);
	for (int i = 0; i < 100000; i++)
		frame(f, HTTP2_CONTINUATION, 0, 1, NULL, 0);
	run(f, 65536);
	assert_true(f->drive.pieces > 100000); /* numbered, so that the agent misses them */
	assert_true(f->drive.shipped < 100 * sizeof(struct event_headers));
	assert_int_equal(f->heard, 0);
}

/* Updates of the table's size, entries as large as they may be: the table stays small. */
static void test_flood_of_table_updates(void **state)
{
	static const uint8_t largest[] = { 0x3f, 0xe1, 0xff, 0x03 }; /* 64 KiB */
	static const uint8_t larger[] = { 0x3f, 0xe2, 0xff, 0x03 };
	struct fixture *f = *state;
	uint8_t data[8192] = { 0 };
	const struct http2_stats *stats = http2_decoder__stats(f->drive.decoder);
	size_t len = 0;

	for (int i = 0; i < 1000; i++) {
		memcpy(data, largest, sizeof(largest));
		len = sizeof(largest);
		for (int j = 0; j < 100; j++, len += 36) {
			data[len] = 0x40;
			data[len + 1] = 1;
			data[len + 2] = 'a';
			data[len + 3] = 32;
			memset(data + len + 4, 'v', 32);
		}
		frame(f, HTTP2_HEADERS, HTTP2_END_HEADERS, 2 * i + 1, data, len);
		run(f, 65536);
		assert_true(stats->bytes < 512 * 1024);
	}
	frame(f, HTTP2_HEADERS, HTTP2_END_HEADERS, 3001, larger, sizeof(larger));
	run(f, 65536);
	assert_int_equal(stats->lost, 1);
}

/* Connections without number, each with a full table. */
static void test_tables_are_bounded(void **state)
{
	struct fixture *f = *state;
	const struct http2_stats *stats = http2_decoder__stats(f->drive.decoder);

	f->drive.joined = true; /* the table begins full */
	for (unsigned i = 0; i < 2 * HTTP2_TABLES; i++) {
		f->drive.conn = i;
		f->drive.pieces = f->drive.last_stream = 0;
		request(f, 1, "same");
		run(f, 4096);
		assert_true(stats->connections <= HTTP2_TABLES);
		assert_true(stats->bytes <= HTTP2_TABLES_BYTES);
	}
	assert_true(stats->evicted > 0);
}

static void test_closed(void **state)
{
	struct fixture *f = *state;
	struct event_headers closed = { .conn = 0, .closed = 1 };
	const struct http2_stats *stats = http2_decoder__stats(f->drive.decoder);

	request(f, 1, "a");
	run(f, 4096);
	assert_int_equal(stats->connections, 1);
	assert_int_equal(http2_decoder__piece(f->drive.decoder, &closed), 0);
	assert_int_equal(stats->connections, 0);
	assert_int_equal(stats->bytes, 0);
}

static void test_wrong_contract(void **state)
{
	struct fixture *f = *state;
	struct event_headers event = { .frame_bytes = 4, .offset = 5 };

	assert_int_equal(http2_decoder__piece(f->drive.decoder, &event), -EPROTO);
	event = (struct event_headers){ .frame_bytes = 4, .offset = 2, .len = 3 };
	assert_int_equal(http2_decoder__piece(f->drive.decoder, &event), -EPROTO);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_preface),
		TEST(test_no_preface),
		TEST(test_splits),
		TEST(test_continuation_padding_priority),
		TEST(test_values),
		TEST(test_trailers),
		TEST(test_join),
		TEST(test_join_literal),
		TEST(test_gap),
		TEST(test_damaged_block),
		TEST(test_ends),
		TEST(test_invalid),
		TEST(test_strict),
		TEST(test_flood_of_continuation),
		TEST(test_flood_of_empty_frames),
		TEST(test_flood_of_table_updates),
		TEST(test_tables_are_bounded),
		TEST(test_closed),
		TEST(test_wrong_contract),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
