/* SPDX-License-Identifier: Apache-2.0 */
/* The header machine of bpf/http.h, the same code that the kernel runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "bpf/http.h"

#define EVENTS_MAX 64

/* What a whole input said. */
struct heard {
	unsigned heads, ends;
	char ids[EVENTS_MAX][RT_ID_MAX + 1];
	uint8_t state;
};

static uint64_t hash_of(const char *text)
{
	uint64_t hash = FNV_BASIS;

	while (*text)
		hash = http_hash(hash, *text++);
	return hash;
}

static void message_end(struct http *h, struct http_found *found, struct heard *heard)
{
	heard->ends++;
	http__begin(h, found);
}

static void head(struct http *h, struct http_found *found, struct heard *heard)
{
	unsigned at = heard->heads++ % EVENTS_MAX;
	uint16_t len = http__id_len(h, found);

	memcpy(heard->ids[at], found->id, len);
	heard->ids[at][len] = 0;
	if (h->response && h->status < 200 && h->status != 101)
		http__begin(h, found);
	if (h->state == HTTP_BODY && !h->body_left)
		message_end(h, found, heard);
}

static __u32 word(struct http *h, struct http_found *found, const char *text, size_t len,
		  const struct http_ids *ids, enum http_event *event)
{
	__u64 bytes = 0;

	memcpy(&bytes, text, len < 8 ? len : 8);
	if (len >= 8 && http__passes(h, bytes))
		return 8;
	return http__word(h, found, bytes, len, ids, event);
}

/* As bpf/request.bpf.h drives the machine, in reads of at most `step` bytes. */
static struct heard hear(const char *text, size_t len, size_t step, bool response)
{
	const struct http_ids ids = { { hash_of("x-baseten-request-id"), hash_of("x-request-id") },
				      1 << ('x' - 'a') };
	struct http h = { .response = response };
	struct http_found found = { 0 };
	struct heard heard = { 0 };

	http__begin(&h, &found);
	for (size_t at = 0, end; at < len; at = end) {
		end = at + step < len ? at + step : len;
		for (size_t i = at; i < end;) {
			enum http_event event = HTTP_NONE;
			__u64 taken = 1;

			if (http__skips(&h))
				event = http__skip(&h, end - i, &taken);
			else
				taken = word(&h, &found, text + i, end - i, &ids, &event);
			i += taken;
			if (event == HTTP_HEAD)
				head(&h, &found, &heard);
			else if (event == HTTP_END)
				message_end(&h, &found, &heard);
		}
	}
	heard.state = h.state;
	return heard;
}

/* The same at every split: 1 byte, 2 bytes … all at once. */
static struct heard hear_split(const char *text, bool response)
{
	size_t len = strlen(text);
	struct heard all = hear(text, len, len, response);

	for (size_t step = 1; step < len; step++) {
		struct heard part = hear(text, len, step, response);

		assert_memory_equal(&part, &all, sizeof(all));
	}
	return all;
}

static void one_id(const char *text, const char *id)
{
	struct heard heard = hear_split(text, false);

	assert_int_equal(heard.heads, 1);
	assert_string_equal(heard.ids[0], id);
}

static void test_hashes(void **state)
{
	assert_true(hash_of("content-length") == HTTP_HASH_CONTENT_LENGTH);
	assert_true(hash_of("transfer-encoding") == HTTP_HASH_TRANSFER_ENCODING);
	assert_true(hash_of("traceparent") == HTTP_HASH_TRACEPARENT);
	assert_true(hash_of("chunked") == HTTP_HASH_CHUNKED);
	assert_true(hash_of("HEAD") == HTTP_HASH_HEAD);
	assert_true(hash_of("CONNECT") == HTTP_HASH_CONNECT);
	assert_true(hash_of("PRI") == HTTP_HASH_PRI);
}

static void test_id(void **state)
{
	one_id("GET / HTTP/1.1\r\nx-baseten-request-id: abc\r\n\r\n", "abc");
	one_id("GET / HTTP/1.1\r\nX-BASETEN-Request-Id:abc\r\n\r\n", "abc");
	one_id("GET / HTTP/1.1\nx-baseten-request-id: \t abc \t\n\n", "abc");
	one_id("\r\nPOST /v1 HTTP/1.1\r\nhost: a\r\nx-baseten-request-id: abc:cf-ray:user\r\nz: "
	       "1\r\n\r\n",
	       "abc");
}

static void test_no_id(void **state)
{
	one_id("GET / HTTP/1.1\r\nx-baseten-request-idx: abc\r\n\r\n", "");
	one_id("GET / HTTP/1.1\r\nax-baseten-request-id: abc\r\n\r\n", "");
	one_id("GET / HTTP/1.1\r\nx-baseten-request-id :abc\r\n\r\n", "");
	one_id("GET / HTTP/1.1\r\nx-baseten-request-id:\r\n\r\n", "");
	one_id("GET / HTTP/1.1\r\nx-baseten-request-id: a b\r\n\r\n", "");
	one_id("GET / HTTP/1.1\r\nx-baseten-request-id: a\x01\r\n\r\n", "");
	one_id("GET /x-baseten-request-id:abc HTTP/1.1\r\nother: x-baseten-request-id: abc\r\n\r\n",
	       "");
	one_id("GET / HTTP/1.1\r\nother: 1\r\n x-baseten-request-id: abc\r\n\r\n", "");
}

static void test_rank(void **state)
{
	one_id("GET / HTTP/1.1\r\nx-request-id: low\r\nx-baseten-request-id: high\r\n\r\n", "high");
	one_id("GET / HTTP/1.1\r\nx-baseten-request-id: high\r\nx-request-id: low\r\n\r\n", "high");
	one_id("GET / HTTP/1.1\r\nx-baseten-request-id: one\r\nx-baseten-request-id: two\r\n\r\n",
	       "one");
}

static void test_long_id(void **state)
{
	char text[512], id[RT_ID_MAX + 2];

	memset(id, 'a', sizeof(id));
	id[RT_ID_MAX] = 0;
	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nx-baseten-request-id: %s\r\n\r\n", id);
	one_id(text, id);
	id[RT_ID_MAX] = 'a';
	id[RT_ID_MAX + 1] = 0;
	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nx-baseten-request-id: %s\r\n\r\n", id);
	one_id(text, "");
}

#define EVIL "GET / HTTP/1.1\r\nx-baseten-request-id: evil\r\n\r\n"

static void test_bodies_are_no_heads(void **state)
{
	struct heard heard = hear_split(
		"POST / HTTP/1.1\r\nContent-Length: 46\r\nx-baseten-request-id: a\r\n\r\n" EVIL
		"GET / HTTP/1.1\r\nx-baseten-request-id: b\r\n\r\n",
		false);

	assert_int_equal(strlen(EVIL), 46);
	assert_int_equal(heard.heads, 2);
	assert_int_equal(heard.ends, 2);
	assert_string_equal(heard.ids[0], "a");
	assert_string_equal(heard.ids[1], "b");
	heard = hear_split("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, "
			   "Chunked\r\nx-baseten-request-id: a\r\n\r\n"
			   "2e;name=value\r\n" EVIL "\r\n0\r\nx-baseten-request-id: trailer\r\n\r\n"
			   "GET / HTTP/1.1\r\nx-baseten-request-id: b\r\n\r\n",
			   false);
	assert_int_equal(heard.heads, 2);
	assert_int_equal(heard.ends, 2);
	assert_string_equal(heard.ids[1], "b");
}

static void test_not_requests(void **state)
{
	static const char *const texts[] = {
		"HTTP/1.1 200 OK\r\nx-baseten-request-id: a\r\n\r\n",
		"\x16\x03\x01\x02" EVIL,
		"{\"json\": 1}\n" EVIL,
		" GET / HTTP/1.1\r\nx-baseten-request-id: a\r\n\r\n",
		"get / HTTP/1.1\r\nx-baseten-request-id: a\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct heard heard = hear_split(texts[i], false);

		assert_int_equal(heard.heads, 0);
		assert_int_equal(heard.state, HTTP_OTHER);
	}
}

static void test_http2_is_another_machines(void **state)
{
	struct heard heard = hear_split("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" EVIL, false);

	assert_int_equal(heard.heads, 0);
	assert_int_equal(heard.state, HTTP_TWO);
}

/* Two lengths, or one that is no number: where the body ends is anybody's guess. */
static void test_smuggling(void **state)
{
	static const char *const texts[] = {
		"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc" EVIL,
		"POST / HTTP/1.1\r\nContent-Length: 3x\r\n\r\nabc" EVIL,
		"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nabc" EVIL,
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" EVIL,
		"CONNECT a:1 HTTP/1.1\r\n\r\n" EVIL,
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(hear_split(texts[i], false).heads, 1);
}

static void test_responses(void **state)
{
	struct heard heard = hear_split(
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
		"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
		"chunked\r\n\r\n"
		"2\r\nab\r\n0\r\n\r\n",
		true);

	assert_int_equal(heard.heads, 4);
	assert_int_equal(heard.ends, 3);
	assert_int_equal(heard.state, HTTP_START);
	heard = hear_split("HTTP/1.0 200 OK\r\nx-baseten-request-id: a\r\n\r\nuntil the end", true);
	assert_int_equal(heard.heads, 1);
	assert_string_equal(heard.ids[0], "");
	assert_int_equal(heard.ends, 0);
	assert_int_equal(heard.state, HTTP_UNTIL_CLOSE);
	assert_int_equal(
		hear_split("HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", true)
			.heads,
		1);
}

/* Several requests in one read, whatever their bodies: each has its own id. */
static void test_pipelined(void **state)
{
	struct heard heard = hear_split("GET /a HTTP/1.1\r\nx-request-id: one\r\n\r\n"
					"POST /b HTTP/1.1\r\nx-request-id: two\r\n"
					"content-length: 3\r\n\r\nabc"
					"HEAD /c HTTP/1.1\r\n\r\n"
					"GET /d HTTP/1.1\r\nx-request-id: four\r\n\r\n",
					false);

	assert_int_equal(heard.heads, 4);
	assert_int_equal(heard.ends, 4);
	assert_string_equal(heard.ids[0], "one");
	assert_string_equal(heard.ids[1], "two");
	assert_string_equal(heard.ids[2], "");
	assert_string_equal(heard.ids[3], "four");
}

static void feed(struct http *h, struct http_found *found, const char *text)
{
	const struct http_ids ids = { 0 };
	enum http_event event;

	for (size_t at = 0, len = strlen(text); at < len;)
		at += word(h, found, text + at, len - at, &ids, &event);
}

/* The answer to HEAD has the length of the one to GET, and no body. */
static void test_head(void **state)
{
	struct http h = { 0 };
	struct http_found found = { 0 };

	http__begin(&h, &found);
	feed(&h, &found, "HEAD / HTTP/1.1\r\n\r\n");
	assert_true(h.method_head);
	h.response = 1;
	http__begin(&h, &found);
	h.no_body = h.method_head = 1;
	feed(&h, &found, "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n");
	assert_int_equal(h.state, HTTP_BODY);
	assert_int_equal(h.body_left, 0);
}

static void test_traceparent(void **state)
{
	static const char text[] =
		"GET / HTTP/1.1\r\nTraceparent: "
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
	struct http h = { 0 };
	struct http_found found = { 0 };
	const struct http_ids ids = { 0 };

	http__begin(&h, &found);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		http__byte(&h, &found, text[i], &ids);
	assert_int_equal(found.traceparent_len, RT_TRACEPARENT_LEN);
	assert_memory_equal(found.traceparent,
			    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			    RT_TRACEPARENT_LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_no_id),
		cmocka_unit_test(test_rank),
		cmocka_unit_test(test_long_id),
		cmocka_unit_test(test_bodies_are_no_heads),
		cmocka_unit_test(test_not_requests),
		cmocka_unit_test(test_smuggling),
		cmocka_unit_test(test_http2_is_another_machines),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_traceparent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
