/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/line.h"

#include <errno.h>
#include <stdlib.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include "agent/loss.h"
#include "agent/utf8.h"

#define UNFINISHED_MAX 4096 /* (thread, stream) pairs that are kept */
/* 4096 threads in the middle of 256 KiB would be a gigabyte: so much may wait in all. */
#define UNFINISHED_BYTES_MAX (8U << 20)
#define KEPT_CAPACITY 4096 /* a larger buffer goes with its line */

struct part_key {
	uint64_t inode;
	uint32_t device;
	uint32_t tid;
};

/* What one thread has begun on one stream. Kept empty after its line, for the next. */
struct part {
	struct part_key key;
	char *data;
	uint32_t len, capacity;
	uint32_t cut;
	uint32_t tgid;
	uint32_t lost_writes; /* of the stream, at the newest fragment */
	uint16_t next_chunk;
	bool open;        /* bytes wait, or were cut */
	bool in_write;    /* chunks of the newest write are to come */
	bool disagrees;   /* its fragments name different requests */
	struct line line; /* of the first fragment; text is filled when it ends */
	UT_hash_handle hh;
};

struct line_assembler {
	uint32_t max;
	line_fn fn;
	void *ctx;
	struct part *parts;
	uint32_t capacity; /* of all parts */
	uint32_t open_count;
	struct loss_table *losses;
	char *mended; /* for lines that are not valid UTF-8 */
	struct line_stats stats;
};

struct line_assembler *line_assembler__new(uint32_t max_bytes, line_fn fn, void *ctx)
{
	struct line_assembler *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->max = max_bytes ? max_bytes : LINE_MAX_BYTES;
	a->fn = fn;
	a->ctx = ctx;
	a->mended = malloc((size_t)a->max * 3);
	a->losses = loss_table__new();
	return a->mended && a->losses ? a : line_assembler__free(a);
}

static void part_free(struct line_assembler *a, struct part *part)
{
	HASH_DEL(a->parts, part);
	a->capacity -= part->capacity;
	free(part->data);
	free(part);
}

struct line_assembler *line_assembler__free(struct line_assembler *a)
{
	struct part *part, *next_part;

	if (!a)
		return NULL;
	HASH_ITER (hh, a->parts, part, next_part)
		part_free(a, part);
	loss_table__free(a->losses);
	free(a->mended);
	free(a);
	return NULL;
}

/* True when no byte is NUL or above 0x7f: then the text is as it should be. */
static bool is_plain(const char *text, size_t len)
{
	const uint64_t ones = 0x0101010101010101ULL, high = 0x8080808080808080ULL;
	uint64_t found = 0, word;

	for (; len >= 8; text += 8, len -= 8) {
		memcpy(&word, text, 8);
		found |= (word | ((word - ones) & ~word)) & high;
	}
	for (; len; text++, len--)
		found |= *text <= 0;
	return !found;
}

/* Copies with U+FFFD for each byte that belongs to no character. */
static struct str mend(struct line_assembler *a, struct str text, uint32_t *ret_replaced)
{
	size_t out = 0;

	for (size_t i = 0; i < text.len;) {
		size_t n = utf8__sequence(text.data + i, text.len - i);

		if (n) {
			memcpy(a->mended + out, text.data + i, n);
			out += n;
		} else {
			memcpy(a->mended + out, "\xef\xbf\xbd", 3);
			out += 3;
			++*ret_replaced;
		}
		i += n ? n : 1;
	}
	return (struct str){ a->mended, out };
}

static void emit_one(struct line_assembler *a, struct line *line)
{
	line->replaced_bytes = 0;
	if (!is_plain(line->text.data, line->text.len))
		line->text = mend(a, line->text, &line->replaced_bytes);
	a->stats.lines++;
	a->stats.replaced_bytes += line->replaced_bytes;
	a->stats.cut_lines += line->cut_bytes != 0;
	a->stats.cut_bytes += line->cut_bytes;
	a->stats.timeout_lines += line->end == LINE_END_TIMEOUT;
	a->stats.exit_lines += line->end == LINE_END_EXIT;
	a->stats.gap_lines += line->end == LINE_END_GAP;
	a->fn(a->ctx, line);
	line->lost_writes = line->lost_bytes = 0; /* told once */
}

/* A complete text, without its "\r". NUL after NUL ends no line, but may have a loss to tell. */
static void emit(struct line_assembler *a, struct line *line, struct str text, enum line_end end)
{
	if (end == LINE_END_NEWLINE && text.len && text.data[text.len - 1] == '\r')
		text.len--;
	if (end == LINE_END_NUL && !text.len && !line->lost_writes)
		return;
	line->text = text;
	line->end = end;
	emit_one(a, line);
}

/* What is kept of the first `max` bytes of a longer text: all but a character begun at their end.
 */
static uint32_t cut_length(const char *text, uint32_t max)
{
	for (uint32_t back = 1; back <= 3 && back <= max; back++) {
		unsigned char c = text[max - back];

		if (c < 0x80)
			break;
		if (c >= 0xc0)
			return utf8__sequence(text + max - back, back) ? max : max - back;
	}
	return max;
}

void line_assembler__lost(struct line_assembler *a, const struct stream_key *key,
			  const struct stream *stream, struct line *ret)
{
	*ret = (struct line){
		.container = stream->container,
		.inode = key->inode,
		.device = key->device,
		.lost_reason = stream->lost_reason,
	};
	loss_table__late(a->losses, key, stream, &ret->lost_writes, &ret->lost_bytes);
}

static void line_begin(struct line_assembler *a, const struct event_fragment *f, uint64_t position,
		       struct line *line)
{
	*line = (struct line){
		.container = f->head.container,
		.inode = f->inode,
		.device = f->device,
		.time_ns = f->head.time_ns,
		.first_write_ns = f->head.time_ns,
		.position = position,
		.request = f->request,
		.unit = f->unit,
		.stream = f->stream,
		.tgid = f->tgid,
		.tid = f->tid,
		.origin = f->flags & RT_FRAGMENT_ORIGIN,
		.lost_reason = f->lost_reason,
		.doubt = f->flags & RT_FRAGMENT_DOUBT,
	};
	loss_table__fragment(a->losses, f, &line->lost_writes, &line->lost_bytes);
}

static struct part *part_find(struct line_assembler *a, const struct event_fragment *f)
{
	struct part_key key = { .inode = f->inode, .device = f->device, .tid = f->tid };
	struct part *part = NULL;

	if (a->parts)
		HASH_FIND(hh, a->parts, &key, sizeof(key), part);
	return part;
}

static void part_end(struct line_assembler *a, struct part *part, enum line_end end)
{
	struct str text = { part->data, part->len };
	struct line line = part->line;

	part->open = false;
	a->open_count--;
	line.cut_bytes = part->cut;
	if (part->disagrees)
		line.request = 0, line.unit = RT_UNIT_NONE;
	if (part->cut)
		end = LINE_END_MAX;
	emit(a, &line, text, end);
	part->len = 0;
	part->cut = 0;
	part->disagrees = false;
	if (part->capacity <= KEPT_CAPACITY)
		return;
	a->capacity -= part->capacity;
	part->capacity = 0;
	free(part->data);
	part->data = NULL;
}

/* The part that waits longest gives its place. */
static void part_evict(struct line_assembler *a, struct part *part)
{
	if (part->open) {
		a->stats.evicted_lines++;
		part_end(a, part, LINE_END_TIMEOUT);
	}
	part_free(a, part);
}

static struct part *part_new(struct line_assembler *a, const struct event_fragment *f)
{
	struct part *part;

	while (a->parts &&
	       (HASH_COUNT(a->parts) >= UNFINISHED_MAX || a->capacity > UNFINISHED_BYTES_MAX))
		part_evict(a, a->parts);
	part = calloc(1, sizeof(*part));
	if (!part)
		return NULL;
	part->key = (struct part_key){ .inode = f->inode, .device = f->device, .tid = f->tid };
	part->tgid = f->tgid;
	HASH_ADD(hh, a->parts, key, sizeof(part->key), part);
	return part;
}

static int part_append(struct line_assembler *a, struct part *part, const char *data, uint32_t len)
{
	uint32_t room = a->max - part->len, take = len < room ? len : room;

	if (part->len + take > part->capacity) {
		uint32_t capacity = part->len + take + part->capacity / 2 + 256;
		char *grown;

		if (capacity > a->max)
			capacity = a->max;
		grown = realloc(part->data, capacity);
		if (!grown)
			return -ENOMEM;
		a->capacity += capacity - part->capacity;
		part->data = grown;
		part->capacity = capacity;
	}
	memcpy(part->data + part->len, data, take);
	part->len += take;
	if (take < len) {
		uint32_t keep = cut_length(part->data, part->len);

		part->cut = part->len - keep;
		part->len = keep;
	}
	part->cut += len - take;
	return 0;
}

/* The start of a fragment joins what its thread has begun. */
static int part_take(struct line_assembler *a, struct part **ppart, const struct event_fragment *f,
		     struct line *line, const char *data, uint32_t len)
{
	struct part *part = *ppart;

	if (!part) {
		part = part_new(a, f);
		if (!part)
			return -ENOMEM;
		*ppart = part;
	}
	if (!part->open) {
		part->open = true;
		a->open_count++;
		part->line = *line;
		line->lost_writes = line->lost_bytes = 0;
	} else if (part->line.request != line->request) {
		part->disagrees = true;
	}
	part->line.time_ns = f->head.time_ns;
	part->line.doubt |= line->doubt;
	part->line.buffered |= line->buffered;
	return part->cut ? (part->cut += len, 0) : part_append(a, part, data, len);
}

/*
 * A fragment that does not follow the last one: what is between was lost. Of a whole write that was
 * lost, only its stream is known: every thread in the middle of a line there ends it, since a line
 * in two is less wrong than two in one.
 */
static void check_gap(struct line_assembler *a, struct part *part, const struct event_fragment *f)
{
	bool follows = f->chunk == 0 ? !part->in_write
				     : part->line.time_ns == f->head.time_ns &&
					       part->next_chunk == f->chunk;

	if (part->open && (!follows || part->lost_writes != f->lost_writes))
		part_end(a, part, LINE_END_GAP);
}

static uint32_t longest_line(const char *text, uint32_t len)
{
	const char *newline, *end = text + len;
	uint32_t longest = 0;

	for (; (newline = memchr(text, '\n', end - text)); text = newline + 1)
		if (newline + 1 - text > longest)
			longest = newline + 1 - text;
	return longest;
}

/*
 * A full buffer: several lines, and the last unfinished, or no room for one more. The thread whose
 * text found it full wrote what others, or it for earlier requests, had left there.
 */
static bool is_full_buffer(const struct event_fragment *f)
{
	const char *text = f->data;
	uint32_t len = f->len;

	if (f->write_bytes < LINE_BUFFER_BYTES || len != f->write_bytes ||
	    !memchr(text, '\n', len - 1))
		return false;
	return text[len - 1] != '\n' || (len <= LINE_TEXT_BUFFER_BYTES &&
					 len + longest_line(text, len) > LINE_TEXT_BUFFER_BYTES);
}

/* Of a fragment, up to the newline or NUL that ends a line: php-fpm's workers end a request's
 * output so, and begin the next one's. */
static int take_end(struct line_assembler *a, struct part **ppart, const struct event_fragment *f,
		    struct line *line, struct str text, enum line_end end)
{
	uint32_t keep = text.len > a->max ? cut_length(text.data, a->max) : text.len;
	const char *behind = text.data + text.len + 1;
	int err = 0;

	line->rest = (struct str){ behind, f->data + f->len - behind };
	if (*ppart && (*ppart)->open) {
		err = part_take(a, ppart, f, line, text.data, text.len);
		(*ppart)->line.rest = line->rest;
		part_end(a, *ppart, end);
		return err;
	}
	line->cut_bytes = text.len - keep;
	text.len = keep;
	emit(a, line, text, line->cut_bytes ? LINE_END_MAX : end);
	return 0;
}

int line_assembler__fragment(struct line_assembler *a, const struct event_fragment *f,
			     uint64_t position)
{
	struct part *part = part_find(a, f);
	const char *data = f->data, *end = f->data + f->len, *newline, *nul;
	struct line line;
	int err = 0;

	line_begin(a, f, position, &line);
	if (is_full_buffer(f)) {
		line.buffered = true;
		line.doubt = false;
		line.request = 0, line.unit = RT_UNIT_NONE;
	}
	if (part)
		check_gap(a, part, f);
	for (; data < end; data = newline + 1) {
		newline = memchr(data, '\n', end - data);
		for (; (nul = memchr(data, 0, (newline ? newline : end) - data)); data = nul + 1)
			err |= take_end(a, &part, f, &line, (struct str){ data, nul - data },
					LINE_END_NUL);
		if (!newline)
			break;
		err |= take_end(a, &part, f, &line, (struct str){ data, newline - data },
				LINE_END_NEWLINE);
	}
	line.rest = (struct str){ NULL, 0 };
	line.cut_bytes = 0;
	if (data < end)
		err |= part_take(a, &part, f, &line, data, end - data);
	if (part) {
		part->next_chunk = f->chunk + 1;
		part->in_write = !(f->flags & RT_FRAGMENT_LAST);
		part->lost_writes = f->lost_writes;
	}
	return err ? -ENOMEM : 0;
}

void line_assembler__exit(struct line_assembler *a, uint32_t tgid, uint32_t tid, bool whole_process)
{
	struct part *part, *next;

	HASH_ITER (hh, a->parts, part, next) {
		if (part->key.tid != tid && !(whole_process && part->tgid == tgid))
			continue;
		if (part->open)
			part_end(a, part, LINE_END_EXIT);
		part_free(a, part);
	}
}

uint64_t line_assembler__tick(struct line_assembler *a, uint64_t now_ns)
{
	uint64_t again = UINT64_MAX;
	struct part *part, *next;

	HASH_ITER (hh, a->parts, part, next) {
		uint64_t due = part->line.time_ns + LINE_TIMEOUT_NS;

		if (!part->open)
			continue;
		if (due <= now_ns)
			part_end(a, part, LINE_END_TIMEOUT);
		else if (due < again)
			again = due;
	}
	return again;
}

uint64_t line_assembler__held(const struct line_assembler *a)
{
	uint64_t held = UINT64_MAX;

	for (const struct part *part = a->open_count ? a->parts : NULL; part; part = part->hh.next)
		if (part->open && part->line.position < held)
			held = part->line.position;
	return held;
}

void line_assembler__flush(struct line_assembler *a)
{
	struct part *part, *next;

	HASH_ITER (hh, a->parts, part, next) {
		if (part->open)
			part_end(a, part, LINE_END_EXIT);
		part_free(a, part);
	}
}

const struct line_stats *line_assembler__stats(const struct line_assembler *a)
{
	return &a->stats;
}
