/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Line assembly: the lines must be the same however the bytes were cut into writes. Input: the
 * number of lengths, the lengths of the writes (the last one repeats), the bytes.
 */
#include <stdlib.h>
#include "agent/line.h"
#include "agent/utf8.h"

#define LINE_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	char *text; /* each line, then its end and what was cut */
	size_t len, capacity;
};

static void seen_add(struct seen *seen, const void *data, size_t len)
{
	if (seen->len + len > seen->capacity) {
		seen->capacity = (seen->len + len) * 2;
		seen->text = realloc(seen->text, seen->capacity);
		if (!seen->text)
			abort();
	}
	if (len)
		memcpy(seen->text + seen->len, data, len);
	seen->len += len;
}

static void sink(void *ctx, const struct line *line)
{
	uint32_t end[] = { line->end, line->cut_bytes, line->replaced_bytes, 0x0a0a0a0a };
	size_t at = 0, n = 1;

	while (at < line->text.len && n) {
		n = utf8__sequence(line->text.data + at, line->text.len - at);
		at += n;
	}
	if (at != line->text.len || line->text.len > 3 * LINE_MAX)
		abort();
	seen_add(ctx, line->text.data, line->text.len);
	seen_add(ctx, end, sizeof(end));
}

static void write_one(struct line_assembler *a, const uint8_t *data, uint32_t len, uint64_t now)
{
	struct event_fragment *f = calloc(1, sizeof(*f) + len);

	if (!f)
		abort();
	f->head.time_ns = now;
	f->inode = f->tid = f->tgid = 1;
	f->flags = RT_FRAGMENT_LAST;
	f->len = len;
	if (len)
		memcpy(f->data, data, len);
	if (line_assembler__fragment(a, f, 0))
		abort();
	free(f);
}

static struct seen assemble(const uint8_t *data, size_t size, const uint8_t *lengths, size_t count)
{
	struct seen seen = { 0 };
	struct line_assembler *a = line_assembler__new(LINE_MAX, sink, &seen);
	uint64_t now = 1;

	for (size_t i = 0; size; now++) {
		size_t len = count ? lengths[i] : size;

		i += i + 1 < count;
		len = len == 0 ? 1 : len < size ? len : size;
		write_one(a, data, len, now);
		data += len;
		size -= len;
	}
	line_assembler__flush(a);
	line_assembler__free(a);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t count = size ? data[0] % 16 : 0;
	struct seen whole, pieces;

	if (size < 1 + count)
		return 0;
	whole = assemble(data + 1 + count, size - 1 - count, NULL, 0);
	pieces = assemble(data + 1 + count, size - 1 - count, data + 1, count);
	if (whole.len != pieces.len || (whole.len && memcmp(whole.text, pieces.text, whole.len)))
		abort();
	free(whole.text);
	free(pieces.text);
	return 0;
}
