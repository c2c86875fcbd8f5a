/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <errno.h>
#include <stdio.h>
#include "agent/attribute.h"

#define ID "0123456789abcdef0123456789abcdef"
#define ID2 "fedcba9876543210fedcba9876543210"
#define SECOND 1000000000ULL

static struct request request_of(uint64_t seq, const char *id)
{
	struct request request = { .seq = seq,
				   .container = 5,
				   .begin_ns = SECOND,
				   .state = RT_REQUEST_OPEN,
				   .id_len = (uint16_t)strlen(id) };

	memcpy(request.id, id, request.id_len);
	return request;
}

static int lookup(void *ctx, uint64_t seq, struct request *ret)
{
	++*(unsigned *)ctx;
	if (seq != 77)
		return -ENOENT;
	*ret = request_of(77, "found");
	return 0;
}

static struct attribute *make(enum evidence weakest)
{
	const struct attribute_config config = { .weakest = weakest };

	return attribute__new(&config, NULL, NULL);
}

static void begin(struct attribute *a, uint64_t seq, const char *id)
{
	const struct event_request event = { .request = request_of(seq, id) };

	attribute__request(a, &event);
}

static void end(struct attribute *a, uint64_t seq, uint64_t time_ns)
{
	const struct event_response event = { .head.time_ns = time_ns,
					      .seq = seq,
					      .state = RT_REQUEST_ANSWERED };

	attribute__response(a, &event);
}

static void expect(struct attribute *a, struct line line, const char *line_id, const char *id,
		   enum evidence evidence)
{
	struct attribution got;

	line.container = line.container ? line.container : 5;
	line.time_ns = line.time_ns ? line.time_ns : 2 * SECOND;
	got = attribute__line(a, &line, str_from(line_id));
	assert_int_equal(got.evidence, evidence);
	assert_int_equal(got.id.len, id ? strlen(id) : 0);
	if (id)
		assert_memory_equal(got.id.data, id, got.id.len);
}

static void expect_text(struct attribute *a, const char *text, const char *id)
{
	expect(a, (struct line){ .text = str_from(text) }, NULL, id,
	       id ? EVIDENCE_TEXT : EVIDENCE_NONE);
}

static void test_kernel_evidence(void **state)
{
	struct attribute *a = make(EVIDENCE_NONE);

	begin(a, 1, "r1");
	expect(a, (struct line){ .request = 1, .unit = RT_UNIT_THREAD }, NULL, "r1",
	       EVIDENCE_THREAD);
	expect(a, (struct line){ .request = 1, .unit = RT_UNIT_PYTHON }, NULL, "r1", EVIDENCE_UNIT);
	expect(a, (struct line){ .request = 1, .unit = RT_UNIT_THREAD, .relayed = true }, NULL,
	       "r1", EVIDENCE_RELAY);
	expect(a, (struct line){ .request = 0 }, NULL, NULL, EVIDENCE_NONE);
	assert_int_equal(attribute__stats(a)->by_evidence[EVIDENCE_THREAD], 1);
	assert_int_equal(attribute__stats(a)->by_evidence[EVIDENCE_NONE], 1);
	attribute__free(a);
}

static void test_request_without_id(void **state)
{
	struct attribute *a = make(EVIDENCE_NONE);

	begin(a, 1, "");
	begin(a, 2, ID);
	/* the text names another request: the kernel's owner decides all the same */
	expect(a, (struct line){ .request = 1, .unit = RT_UNIT_THREAD, .text = STR("of " ID) },
	       NULL, NULL, EVIDENCE_NONE);
	attribute__free(a);
}

static void test_weakest(void **state)
{
	struct attribute *a = make(EVIDENCE_UNIT);

	begin(a, 1, ID);
	expect(a, (struct line){ .request = 1, .unit = RT_UNIT_PYTHON }, NULL, ID, EVIDENCE_UNIT);
	expect(a, (struct line){ .request = 1, .unit = RT_UNIT_THREAD }, NULL, NULL, EVIDENCE_NONE);
	expect_text(a, ID, NULL);
	assert_int_equal(attribute__stats(a)->none[NONE_WEAK], 1);
	assert_int_equal(attribute__stats(a)->none[NONE_NO_REQUEST], 1);
	attribute__free(a);
}

/* Only when it is asked for, and only while nobody else is in flight. */
static void test_sole(void **state)
{
	struct attribute *a = make(EVIDENCE_SOLE), *usual = make(EVIDENCE_NONE);
	struct line line = { .text = STR("nothing of anybody") };

	begin(usual, 1, ID);
	expect(usual, line, NULL, NULL, EVIDENCE_NONE);
	expect(a, line, NULL, NULL, EVIDENCE_NONE);
	begin(a, 1, "r1");
	expect(a, line, NULL, "r1", EVIDENCE_SOLE);
	line.container = 6;
	expect(a, line, NULL, NULL, EVIDENCE_NONE);
	line.container = 5;
	begin(a, 2, "");
	expect(a, line, NULL, NULL, EVIDENCE_NONE);
	end(a, 1, 10 * SECOND);
	end(a, 1, 11 * SECOND);                     /* twice counts once */
	expect(a, line, NULL, NULL, EVIDENCE_NONE); /* the one in flight has no id */
	assert_int_equal(attribute__stats(a)->none[NONE_WITHOUT_ID], 1);
	end(a, 2, 12 * SECOND);
	expect(a, line, NULL, NULL, EVIDENCE_NONE);
	attribute__free(a);
	attribute__free(usual);
}

static void test_line_wins(void **state)
{
	struct attribute *a = make(EVIDENCE_NONE);
	char longer[RT_ID_MAX + 2];

	begin(a, 1, "r1");
	expect(a, (struct line){ .request = 1, .unit = RT_UNIT_THREAD }, "own", "own",
	       EVIDENCE_LINE);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0; /* never cut: the next best evidence holds */
	expect(a, (struct line){ .request = 1, .unit = RT_UNIT_THREAD }, longer, "r1",
	       EVIDENCE_THREAD);
	attribute__free(a);
}

static void test_text_is_a_whole_token(void **state)
{
	struct attribute *a = make(EVIDENCE_NONE);

	begin(a, 1, ID);
	begin(a, 2, "short");
	expect_text(a, "done " ID " ok", ID);
	expect_text(a, "id=\"" ID "\".", ID);
	expect_text(a, "the end of " ID ".", ID);
	expect_text(a, "chatcmpl-" ID "-0", ID);
	expect_text(a, "req_" ID, ID);
	expect_text(a, "a-b.c_" ID ".json", ID);
	expect_text(a, "x" ID, NULL);
	expect_text(a, ID "0", NULL);
	expect_text(a, "short", NULL);
	expect(a, (struct line){ .text = STR(ID), .container = 6 }, NULL, NULL, EVIDENCE_NONE);
	attribute__free(a);
}

/* A long line costs one walk, however many ids are in flight, and finds the one at its end. */
static void test_text_is_long(void **state)
{
	struct attribute *a = make(EVIDENCE_NONE);
	size_t len = 200000;
	char *text = malloc(len + sizeof(ID));
	char id[40];

	assert_non_null(text);
	for (int i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "%08x-ffff-eeee-%016d", i, i);
		begin(a, i + 10, id);
	}
	begin(a, 1, ID);
	for (size_t i = 0; i < len; i++)
		text[i] = "word "[i % 5];
	memcpy(text + len, ID, sizeof(ID));
	expect_text(a, text, ID);
	expect_text(a, "of 000003e7-ffff-eeee-0000000000000999!", id);
	expect_text(a, "of 000003e7-ffff-eeee-000000000000099", NULL);
	free(text);
	attribute__free(a);
}

static void test_text_uuid(void **state)
{
	static const char uuid[] = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
	struct attribute *a = make(EVIDENCE_NONE);
	char text[128];

	begin(a, 1, uuid);
	snprintf(text, sizeof(text), "Added request chatcmpl-%s-0.", uuid);
	expect_text(a, text, uuid);
	expect_text(a, "6ba7b810-9dad-11d1-80b4", NULL);
	attribute__free(a);
}

static void test_two_ids_are_none(void **state)
{
	struct attribute *a = make(EVIDENCE_NONE);

	begin(a, 1, ID);
	begin(a, 2, ID2);
	expect_text(a, ID " and " ID2, NULL);
	assert_int_equal(attribute__stats(a)->none[NONE_DISAGREED], 1);
	expect_text(a, ID " and " ID, ID);
	attribute__free(a);
}

static void test_lookup(void **state)
{
	const struct attribute_config config = { 0 };
	unsigned calls = 0;
	struct attribute *a = attribute__new(&config, lookup, &calls);

	expect(a, (struct line){ .request = 77, .unit = RT_UNIT_THREAD }, NULL, "found",
	       EVIDENCE_THREAD);
	expect(a, (struct line){ .request = 77, .unit = RT_UNIT_THREAD }, NULL, "found",
	       EVIDENCE_THREAD);
	assert_int_equal(calls, 1);
	expect(a, (struct line){ .request = 78, .unit = RT_UNIT_THREAD }, NULL, NULL,
	       EVIDENCE_NONE);
	assert_int_equal(calls, 2);
	assert_int_equal(attribute__stats(a)->none[NONE_FORGOTTEN], 1);
	attribute__free(a);
}

static void test_ended(void **state)
{
	struct attribute *a = make(EVIDENCE_NONE);
	struct line thread = { .request = 1, .unit = RT_UNIT_THREAD, .time_ns = 30 * SECOND };
	struct line text = { .text = STR(ID), .time_ns = 30 * SECOND };

	begin(a, 1, ID);
	end(a, 1, 10 * SECOND);
	text.time_ns = 10 * SECOND + SECOND / 2;
	expect(a, text, NULL, ID, EVIDENCE_TEXT);
	text.time_ns = 30 * SECOND;
	expect(a, text, NULL, NULL, EVIDENCE_NONE);
	attribute__tick(a, 30 * SECOND);
	expect(a, thread, NULL, ID, EVIDENCE_THREAD);
	assert_int_equal(attribute__stats(a)->requests, 1);
	attribute__tick(a, 100 * SECOND);
	assert_int_equal(attribute__stats(a)->requests, 0);
	expect(a, thread, NULL, NULL, EVIDENCE_NONE);
	attribute__free(a);
}

static void test_retry_outlives_the_first(void **state)
{
	struct attribute *a = make(EVIDENCE_NONE);

	begin(a, 1, ID);
	begin(a, 2, ID);
	end(a, 1, 10 * SECOND);
	attribute__tick(a, 20 * SECOND);
	expect(a, (struct line){ .text = STR(ID), .time_ns = 20 * SECOND }, NULL, ID,
	       EVIDENCE_TEXT);
	attribute__free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel_evidence),
		cmocka_unit_test(test_request_without_id),
		cmocka_unit_test(test_weakest),
		cmocka_unit_test(test_line_wins),
		cmocka_unit_test(test_text_is_a_whole_token),
		cmocka_unit_test(test_text_is_long),
		cmocka_unit_test(test_text_uuid),
		cmocka_unit_test(test_sole),
		cmocka_unit_test(test_two_ids_are_none),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_retry_outlives_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
