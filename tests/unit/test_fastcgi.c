/* SPDX-License-Identifier: Apache-2.0 */
/* The machine of bpf/fastcgi.h, the same code that the kernel runs. */
#include <stdbool.h>
#include "tests/unit/unit.h"
#include "bpf/fastcgi.h"

struct wire {
	uint8_t bytes[4096];
	size_t len;
};

struct heard {
	unsigned heads, ends;
	char id[RT_ID_MAX + 1];
	char traceparent[RT_TRACEPARENT_LEN + 1];
	uint8_t state;
};

static void put(struct wire *wire, const void *data, size_t len)
{
	assert_true(wire->len + len <= sizeof(wire->bytes));
	memcpy(wire->bytes + wire->len, data, len);
	wire->len += len;
}

static void record(struct wire *wire, uint8_t type, uint16_t number, const void *data, size_t len,
		   uint8_t padding)
{
	const uint8_t head[8] = { 1, type, number >> 8, number, len >> 8, len, padding, 0 };

	put(wire, head, sizeof(head));
	put(wire, data, len);
	put(wire, "\1\6\0\1\0\1\0\0", padding); /* what it holds is nobody's business */
}

static void length(struct wire *wire, size_t len, bool wide)
{
	const uint8_t four[4] = { 0x80 | len >> 24, len >> 16, len >> 8, len };

	assert_true(wide || len < 128);
	put(wire, wide ? four : four + 3, wide ? 4 : 1);
}

static void pair(struct wire *wire, const char *name, const char *value, bool wide)
{
	length(wire, strlen(name), wide);
	length(wire, strlen(value), wide);
	put(wire, name, strlen(name));
	put(wire, value, strlen(value));
}

static void begin(struct wire *wire, uint16_t number)
{
	record(wire, FASTCGI_BEGIN_REQUEST, number, "\0\1\1\0\0\0\0\0", 8, 0);
}

static void take(struct heard *heard, struct fastcgi *f, struct http *h, struct http_found *found,
		 enum http_event event)
{
	uint16_t len = http__id_len(h, found);

	heard->ends += event == HTTP_END;
	if (event != HTTP_HEAD)
		return;
	heard->heads++;
	memcpy(heard->id, found->id, len);
	heard->id[len] = 0;
	memcpy(heard->traceparent, found->traceparent, RT_TRACEPARENT_LEN);
}

static uint64_t hash_of(const char *text)
{
	uint64_t hash = FNV_BASIS;

	while (*text)
		hash = http_hash(hash, *text++);
	return hash;
}

/* In reads of at most `step` bytes. */
static struct heard hear(const struct wire *wire, size_t step, bool sent)
{
	const struct http_ids ids = { { hash_of("x-baseten-request-id"), hash_of("x-request-id") },
				      1 << ('x' - 'a') };
	struct fastcgi f = { .state = FASTCGI_RECORD };
	struct http_found found = { 0 };
	struct heard heard = { 0 };
	struct http h = { 0 };

	http__begin(&h, &found);
	for (size_t at = 0; at < wire->len;) {
		size_t left = wire->len - at < step ? wire->len - at : step;
		__u64 taken = 1;
		enum http_event event;

		if (fastcgi__skips(&f))
			event = fastcgi__skip(&f, left, sent, &taken);
		else
			event = fastcgi__byte(&f, &h, &found, wire->bytes[at], sent, &ids);
		assert_true(taken > 0 && taken <= left);
		at += taken;
		take(&heard, &f, &h, &found, event);
	}
	heard.state = f.state;
	return heard;
}

#define TRACEPARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void request(struct wire *wire, uint16_t number, const char *id, bool wide)
{
	struct wire pairs = { .len = 0 };

	pair(&pairs, "SCRIPT_FILENAME", "/srv/app.php", false);
	pair(&pairs, "X_BASETEN_REQUEST_ID", "not-a-header", false);
	pair(&pairs, "HTTP_EMPTY", "", false);
	pair(&pairs, "", "no name", wide);
	if (id)
		pair(&pairs, "HTTP_X_BASETEN_REQUEST_ID", id, wide);
	pair(&pairs, "HTTP_X_REQUEST_ID", "weaker", wide);
	pair(&pairs, "HTTP_TRACEPARENT", TRACEPARENT, wide);
	begin(wire, number);
	/* a pair may lie in two records */
	record(wire, FASTCGI_PARAMS, number, pairs.bytes, pairs.len / 2, 5);
	record(wire, FASTCGI_PARAMS, number, pairs.bytes + pairs.len / 2, pairs.len - pairs.len / 2,
	       0);
	record(wire, FASTCGI_PARAMS, number, "", 0, 0);
	record(wire, FASTCGI_STDIN, number, "HTTP_X_BASETEN_REQUEST_ID", 25, 7);
	record(wire, FASTCGI_STDIN, number, "", 0, 8);
}

static void test_request(void **state)
{
	for (int wide = 0; wide < 2; wide++) {
		struct wire wire = { .len = 0 };

		request(&wire, 1, "abc-1:rest", wide);
		for (size_t step = 1; step < 40; step++) {
			struct heard heard = hear(&wire, step, false);

			assert_int_equal(heard.heads, 1);
			assert_int_equal(heard.ends, 1);
			assert_string_equal(heard.id, "abc-1");
			assert_string_equal(heard.traceparent, TRACEPARENT);
			assert_int_equal(heard.state, FASTCGI_RECORD);
		}
	}
}

static void test_next_request(void **state)
{
	struct wire wire = { .len = 0 };
	struct heard heard;

	request(&wire, 1, "first", false);
	request(&wire, 1, NULL, false);
	heard = hear(&wire, 3, false);
	assert_int_equal(heard.heads, 2);
	assert_int_equal(heard.ends, 2);
	assert_string_equal(heard.id, "weaker"); /* of the list's second name */
}

static void test_response(void **state)
{
	struct wire wire = { .len = 0 };

	record(&wire, FASTCGI_STDERR, 1, "PHP message: warning", 20, 4);
	record(&wire, FASTCGI_STDOUT, 1, "Status: 200\r\n\r\nok", 17, 7);
	record(&wire, FASTCGI_STDOUT, 1, "", 0, 0);
	record(&wire, FASTCGI_END_REQUEST, 1, "\0\0\0\0\0\0\0\0", 8, 0);
	record(&wire, FASTCGI_STDOUT, 1, "the next one", 12, 0);
	for (size_t step = 1; step < 40; step++) {
		struct heard heard = hear(&wire, step, true);

		assert_int_equal(heard.heads, 2);
		assert_int_equal(heard.ends, 1);
	}
}

/* No guess is made about what does not follow the rules. */
static void test_not_followed(void **state)
{
	struct wire shared = { .len = 0 }, headless = { .len = 0 }, other = { .len = 0 };

	begin(&shared, 1);
	begin(&shared, 2); /* two requests on one connection at a time */
	record(&shared, FASTCGI_PARAMS, 2, "", 0, 0);
	assert_int_equal(hear(&shared, 9, false).state, FASTCGI_LOST);
	assert_int_equal(hear(&shared, 9, false).heads, 0);
	record(&headless, FASTCGI_PARAMS, 1, "", 0, 0);
	assert_int_equal(hear(&headless, 9, false).state, FASTCGI_LOST);
	put(&other, "\2\1\0\1\0\0\0\0", 8);
	assert_int_equal(hear(&other, 9, false).state, FASTCGI_LOST);
}

static void test_endless_parameters(void **state)
{
	struct fastcgi f = { .state = FASTCGI_RECORD };
	struct http_found found = { 0 };
	struct http h = { 0 };
	struct wire wire = { .len = 0 };
	const struct http_ids ids = { { 1 }, 0 };

	begin(&wire, 1);
	for (int i = 0; i < 10; i++)
		record(&wire, FASTCGI_PARAMS, 1, (char[64]){ 1, 61, 'n' }, 64, 0);
	for (size_t at = 0; f.state != FASTCGI_LOST; at = at + 1 < wire.len ? at + 1 : 16) {
		assert_true(f.head_bytes <= FASTCGI_HEAD_MAX);
		if (fastcgi__skips(&f))
			fastcgi__skip(&f, 1, 0, &(__u64){ 0 });
		else
			fastcgi__byte(&f, &h, &found, wire.bytes[at], 0, &ids);
	}
	assert_int_equal(f.head_bytes, FASTCGI_HEAD_MAX + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_next_request),
		cmocka_unit_test(test_response),
		cmocka_unit_test(test_not_followed),
		cmocka_unit_test(test_endless_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
