/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <stdio.h>
#include "agent/line.h"

struct seen {
	char text[8][64];
	struct line line[8];
	unsigned count;
};

static void keep(void *ctx, const struct line *line)
{
	struct seen *seen = ctx;

	assert_true(seen->count < 8);
	snprintf(seen->text[seen->count], 64, "%.*s", (int)line->text.len, line->text.data);
	seen->line[seen->count++] = *line;
}

struct write {
	const char *data;
	size_t len;
	uint32_t tid;
	uint64_t time_ns;
	uint64_t request;
	uint16_t chunk;
	bool more;
	uint32_t lost_writes;
};

static void put(struct line_assembler *lines, struct write w)
{
	size_t len = w.len ? w.len : strlen(w.data);
	struct event_fragment *f = calloc(1, sizeof(*f) + len);

	assert_non_null(f);
	f->head.kind = RT_EVENT_FRAGMENT;
	f->head.time_ns = w.time_ns ? w.time_ns : 1000;
	f->inode = 7;
	f->tid = w.tid ? w.tid : 1;
	f->tgid = 1;
	f->request = w.request;
	f->chunk = w.chunk;
	f->flags = w.more ? 0 : RT_FRAGMENT_LAST;
	f->lost_writes = w.lost_writes;
	f->len = f->write_bytes = (uint32_t)len;
	memcpy(f->data, w.data, len);
	assert_int_equal(line_assembler__fragment(lines, f, 0), 0);
	free(f);
}

static void test_complete(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(0, keep, &seen);

	put(lines, (struct write){ .data = "a\nb\r\n\nc\n" });
	assert_int_equal(seen.count, 4);
	assert_string_equal(seen.text[0], "a");
	assert_string_equal(seen.text[1], "b");
	assert_string_equal(seen.text[2], "");
	assert_string_equal(seen.text[3], "c");
	assert_int_equal(line_assembler__tick(lines, 5000), UINT64_MAX);
	line_assembler__free(lines);
}

/* stdio's: 4 KiB that several threads filled, cut in mid-line, written by the last of them. */
static void test_full_buffer(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(0, keep, &seen);
	char buffer[LINE_BUFFER_BYTES + 1];

	memset(buffer, 'x', sizeof(buffer) - 1);
	buffer[sizeof(buffer) - 1] = 0;
	buffer[10] = '\n';
	put(lines, (struct write){ .data = buffer, .request = 5 });
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.line[0].request, 0);
	assert_true(seen.line[0].buffered);
	put(lines, (struct write){ .data = "\nits\n", .request = 5 });
	assert_int_equal(seen.line[1].request, 0); /* the buffer's end */
	assert_true(seen.line[1].buffered);
	assert_int_equal(seen.line[2].request, 5);
	assert_false(seen.line[2].buffered);
	/* a traceback is as large, and whole; a short text is no buffer */
	buffer[sizeof(buffer) - 2] = '\n';
	put(lines, (struct write){ .data = buffer, .request = 6 });
	assert_int_equal(seen.line[3].request, 6);
	assert_int_equal(seen.line[4].request, 6);
	put(lines, (struct write){ .data = "a\nb", .request = 7 });
	assert_int_equal(seen.line[5].request, 7);
	line_assembler__free(lines);
}

/* CPython's goes out whole, before the line that would not fit. */
static void test_full_text_buffer(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(0, keep, &seen);
	char buffer[LINE_TEXT_BUFFER_BYTES];

	memset(buffer, 'x', sizeof(buffer));
	buffer[4000] = buffer[8098] = '\n';
	put(lines, (struct write){ .data = buffer, .len = 8099, .request = 5 });
	assert_true(seen.line[0].buffered && seen.line[1].buffered);
	assert_int_equal(seen.line[1].request, 0);
	buffer[4098] = '\n';
	put(lines, (struct write){ .data = buffer, .len = 4099, .request = 5 });
	assert_false(seen.line[2].buffered || seen.line[3].buffered);
	assert_int_equal(seen.line[2].request, 5);
	line_assembler__free(lines);
}

static void test_threads_interleave(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(0, keep, &seen);

	put(lines, (struct write){ .data = "one ", .tid = 1 });
	put(lines, (struct write){ .data = "two ", .tid = 2 });
	put(lines, (struct write){ .data = "1\n", .tid = 1 });
	put(lines, (struct write){ .data = "2\r", .tid = 2 });
	put(lines, (struct write){ .data = "\n", .tid = 2 });
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.text[0], "one 1");
	assert_string_equal(seen.text[1], "two 2");
	line_assembler__free(lines);
}

static void test_requests_disagree(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(0, keep, &seen);

	put(lines, (struct write){ .data = "a", .request = 5 });
	put(lines, (struct write){ .data = "b\n", .request = 6 });
	put(lines, (struct write){ .data = "a", .request = 6 });
	put(lines, (struct write){ .data = "b\nc\n", .request = 6 });
	assert_int_equal(seen.line[0].request, 0);
	assert_int_equal(seen.line[1].request, 6);
	assert_int_equal(seen.line[2].request, 6);
	line_assembler__free(lines);
}

static void test_utf8(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(0, keep, &seen);

	put(lines, (struct write){ .data = "caf\xc3" });
	put(lines, (struct write){ .data = "\xa9\n" });
	put(lines, (struct write){ .data = "x\xff\xfey\n" });
	assert_string_equal(seen.text[0], "caf\xc3\xa9");
	assert_int_equal(seen.line[0].replaced_bytes, 0);
	assert_string_equal(seen.text[1], "x\xef\xbf\xbd\xef\xbf\xbdy");
	assert_int_equal(seen.line[1].replaced_bytes, 2);
	line_assembler__free(lines);
}

static void test_nul(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(0, keep, &seen);

	put(lines, (struct write){ .data = "a\0\0b\n", .len = 5 });
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.text[0], "a");
	assert_int_equal(seen.line[0].end, LINE_END_NUL);
	assert_string_equal(seen.text[1], "b");
	/* three bytes stand for the invalid one: what is left must be counted without them */
	put(lines, (struct write){ .data = "\xff\0z\n", .len = 4 });
	assert_int_equal(seen.count, 4);
	assert_string_equal(seen.text[3], "z");
	/* one at the end of a write ends the line: what follows may be another request's */
	put(lines, (struct write){ .data = "\0end\0", .len = 5, .request = 1 });
	assert_int_equal(seen.count, 5);
	assert_string_equal(seen.text[4], "end");
	assert_int_equal(seen.line[4].request, 1);
	put(lines, (struct write){ .data = "begin\n", .request = 2 });
	assert_string_equal(seen.text[5], "begin");
	assert_int_equal(seen.line[5].request, 2);
	line_assembler__free(lines);
}

static void test_cut(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(4, keep, &seen);

	put(lines, (struct write){ .data = "abc\xc3\xa9"
					   "def\n" });
	put(lines, (struct write){ .data = "abc\xc3\xa9" });
	put(lines, (struct write){ .data = "def\nok\n" });
	assert_int_equal(seen.count, 3);
	for (unsigned i = 0; i < 2; i++) {
		assert_string_equal(seen.text[i], "abc");
		assert_int_equal(seen.line[i].end, LINE_END_MAX);
		assert_int_equal(seen.line[i].cut_bytes, 5);
	}
	assert_string_equal(seen.text[2], "ok");
	assert_int_equal(seen.line[2].cut_bytes, 0);
	assert_int_equal(line_assembler__stats(lines)->cut_bytes, 10);
	line_assembler__free(lines);
}

static void test_timeout_and_exit(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(0, keep, &seen);

	put(lines, (struct write){ .data = "prompt> ", .time_ns = 1000 });
	assert_int_equal(line_assembler__tick(lines, 1001), 1000 + LINE_TIMEOUT_NS);
	assert_int_equal(line_assembler__tick(lines, 1000 + LINE_TIMEOUT_NS), UINT64_MAX);
	put(lines, (struct write){ .data = "dying", .tid = 2 });
	line_assembler__exit(lines, 1, 3, false);
	assert_int_equal(seen.count, 1);
	line_assembler__exit(lines, 1, 1, true);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.line[0].end, LINE_END_TIMEOUT);
	assert_string_equal(seen.text[1], "dying");
	assert_int_equal(seen.line[1].end, LINE_END_EXIT);
	line_assembler__free(lines);
}

static void test_gaps(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(0, keep, &seen);

	put(lines, (struct write){ .data = "head ", .more = true });
	put(lines, (struct write){ .data = "tail\n", .chunk = 2 });
	/* the last chunk of a write is lost, the next write is another line */
	put(lines, (struct write){ .data = "begun ", .more = true, .time_ns = 2000 });
	put(lines, (struct write){ .data = "other\n", .time_ns = 3000 });
	assert_int_equal(seen.count, 4);
	assert_string_equal(seen.text[0], "head ");
	assert_int_equal(seen.line[0].end, LINE_END_GAP);
	assert_string_equal(seen.text[1], "tail");
	assert_string_equal(seen.text[2], "begun ");
	assert_int_equal(seen.line[2].end, LINE_END_GAP);
	assert_string_equal(seen.text[3], "other");
	line_assembler__free(lines);
}

static void test_losses_are_told_once(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(0, keep, &seen);

	put(lines, (struct write){ .data = "a\n" });
	put(lines, (struct write){ .data = "b\nc\n", .lost_writes = 12 });
	assert_int_equal(seen.line[0].lost_writes, 0);
	assert_int_equal(seen.line[1].lost_writes, 12);
	assert_int_equal(seen.line[2].lost_writes, 0);
	line_assembler__free(lines);
}

static void test_a_lost_write_joins_no_lines(void **state)
{
	struct seen seen = { 0 };
	struct line_assembler *lines = line_assembler__new(0, keep, &seen);

	put(lines, (struct write){ .data = "begun " });
	put(lines, (struct write){ .data = "ended\n", .lost_writes = 1 });
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.text[0], "begun ");
	assert_int_equal(seen.line[0].end, LINE_END_GAP);
	assert_string_equal(seen.text[1], "ended");
	assert_int_equal(seen.line[1].lost_writes, 1);
	line_assembler__free(lines);
}

static void count_only(void *ctx, const struct line *line)
{
	++*(unsigned *)ctx;
}

static void test_memory_is_bounded(void **state)
{
	static char big[RT_CHUNK_MAX];
	unsigned count = 0;
	struct line_assembler *lines = line_assembler__new(0, count_only, &count);

	memset(big, 'x', sizeof(big));
	for (uint32_t tid = 1; tid <= 2000; tid++)
		put(lines, (struct write){ .data = big, .len = sizeof(big), .tid = tid });
	assert_true(line_assembler__stats(lines)->evicted_lines > 1000);
	line_assembler__flush(lines);
	assert_int_equal(count, 2000);
	line_assembler__free(lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_full_buffer),
		cmocka_unit_test(test_full_text_buffer),
		cmocka_unit_test(test_threads_interleave),
		cmocka_unit_test(test_requests_disagree),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_timeout_and_exit),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_losses_are_told_once),
		cmocka_unit_test(test_a_lost_write_joins_no_lines),
		cmocka_unit_test(test_memory_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
