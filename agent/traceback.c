/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/traceback.h"

#include <ctype.h>
#include <stdlib.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include "agent/level.h"

#define START "Traceback (most recent call last):"

enum part {
	PART_FRAMES,    /* after the start: indented lines, then the exception */
	PART_EXCEPTION, /* the exception's line came: more of its message, a chain, or the end */
	PART_CHAIN,     /* "During handling of …" came: the next traceback is part of this one */
};

struct open_traceback {
	struct open_key {
		uint64_t inode;
		uint32_t device;
		uint32_t tid;
	} key;
	enum part part;
	bool has_head;
	struct line line;
	uint64_t last_ns;               /* of the newest line's write */
	size_t message_at, message_len; /* the head, or the last exception line, in data */
	size_t text_at, len;
	UT_hash_handle hh;
	char data[TRACEBACK_MAX_BYTES];
};

struct traceback_joiner {
	traceback_fn fn;
	void *ctx;
	struct open_traceback *open;
};

struct traceback_joiner *traceback_joiner__new(traceback_fn fn, void *ctx)
{
	struct traceback_joiner *joiner = calloc(1, sizeof(*joiner));

	if (!joiner)
		return NULL;
	joiner->fn = fn;
	joiner->ctx = ctx;
	return joiner;
}

static void hand_out(struct traceback_joiner *joiner, struct open_traceback *open)
{
	struct traceback traceback = { .line = &open->line };

	HASH_DEL(joiner->open, open);
	open->line.text = (struct str){ open->data + open->message_at, open->message_len };
	open->line.time_ns = open->last_ns;
	traceback.text = (struct str){ open->data + open->text_at, open->len - open->text_at };
	joiner->fn(joiner->ctx, &traceback);
	free(open);
}

struct traceback_joiner *traceback_joiner__free(struct traceback_joiner *joiner)
{
	while (joiner && joiner->open) {
		struct open_traceback *open = joiner->open;

		HASH_DEL(joiner->open, open);
		free(open);
	}
	free(joiner);
	return NULL;
}

static bool starts_with(struct str s, const char *text)
{
	size_t len = strlen(text);

	return s.len >= len && memcmp(s.data, text, len) == 0;
}

/* "Traceback (most recent call last):", in an exception group behind "  + Exception Group ". */
static bool is_start(struct str s)
{
	while (s.len && (s.data[0] == ' ' || s.data[0] == '+')) {
		s.data++;
		s.len--;
	}
	return starts_with(s, START) || starts_with(s, "Exception Group " START);
}

static bool is_chain(struct str s)
{
	return starts_with(s, "During handling of the above exception") ||
	       starts_with(s, "The above exception was the direct cause");
}

/* What does not fit is a record of its own. */
static bool fits(const struct open_traceback *open, struct str text)
{
	return open->len + 1 + text.len <= TRACEBACK_MAX_BYTES;
}

/* `more`: of the exception's message, which has several lines. */
static void append(struct open_traceback *open, struct str text, bool more)
{
	if (open->len > open->text_at)
		open->data[open->len++] = '\n';
	memcpy(open->data + open->len, text.data, text.len);
	/* without a head the message is the exception's: the last that is no frame, to its end */
	if (!open->has_head && text.len && more) {
		open->message_len = open->len + text.len - open->message_at;
	} else if (!open->has_head && text.len && text.data[0] != ' ') {
		open->message_at = open->len;
		open->message_len = text.len;
	}
	open->len += text.len;
}

static struct open_traceback *begin(struct traceback_joiner *joiner, const struct line *line,
				    bool is_head)
{
	struct open_traceback *open;

	if (HASH_COUNT(joiner->open) >= TRACEBACK_OPEN_MAX)
		hand_out(joiner, joiner->open);
	open = malloc(sizeof(*open));
	if (!open)
		return NULL;
	memset(open, 0, offsetof(struct open_traceback, data));
	open->key = (struct open_key){ line->inode, line->device, line->tid };
	open->line = *line;
	open->last_ns = line->time_ns;
	append(open, line->text, false);
	if (is_head) {
		open->has_head = true;
		open->text_at = open->len;
	}
	HASH_ADD(hh, joiner->open, key, sizeof(open->key), open);
	return open;
}

/* Another record in the same write, from a buffer that held several. */
static bool begins_record(struct str s)
{
	return s.len && (s.data[0] == '{' || level__from_line(s));
}

/* Does the line go on with an open traceback? Moves its part on. */
static bool goes_on(struct open_traceback *open, const struct line *line)
{
	struct str text = line->text;
	bool indented = text.len && (text.data[0] == ' ' || text.data[0] == '\t');

	/* a thread that prints one exception after another prints several tracebacks */
	if (is_start(text)) {
		if (open->part != PART_CHAIN && open->len != open->text_at)
			return false;
		open->part = PART_FRAMES;
		return true;
	}
	if (is_chain(text)) {
		open->part = PART_CHAIN;
		return true;
	}
	/* all of an exception group is indented, its end too: a chain may follow its frames */
	if (open->part == PART_FRAMES) {
		if (!indented && text.len)
			open->part = PART_EXCEPTION; /* "ValueError: …", or a bare "KeyError" */
		return true;
	}
	/* an empty line before a chain, or a message of several lines: both in one write */
	return line->first_write_ns == open->last_ns && (indented || !begins_record(text));
}

/* Blank lines before a chain come in a write of their own from print_exc. */
static bool chain_may_follow(const struct open_traceback *open, const struct line *line)
{
	return open->part != PART_FRAMES && !line->text.len;
}

bool traceback_joiner__line(struct traceback_joiner *joiner, const struct line *line)
{
	struct open_key key = { line->inode, line->device, line->tid };
	struct open_traceback *open = NULL;
	bool had_exception;

	if (joiner->open)
		HASH_FIND(hh, joiner->open, &key, sizeof(key), open);
	had_exception = open && open->part == PART_EXCEPTION;
	if (open && open->line.request == line->request && fits(open, line->text) &&
	    (goes_on(open, line) || chain_may_follow(open, line))) {
		append(open, line->text, had_exception && open->part == PART_EXCEPTION);
		open->last_ns = line->time_ns;
	} else {
		if (open)
			hand_out(joiner, open);
		if (line->text.len >= TRACEBACK_MAX_BYTES ||
		    (!is_start(line->text) && !is_start(line->rest)))
			return false;
		open = begin(joiner, line, !is_start(line->text));
		return open != NULL;
	}
	/* logging writes head, traceback and message at once: its end is the end. Not a relay's. */
	if (open->has_head && open->part == PART_EXCEPTION && !line->rest.len && !line->relayed)
		hand_out(joiner, open);
	return true;
}

uint64_t traceback_joiner__tick(struct traceback_joiner *joiner, uint64_t now_ns)
{
	uint64_t again = UINT64_MAX;
	struct open_traceback *open, *next;

	HASH_ITER (hh, joiner->open, open, next) {
		uint64_t due = open->last_ns + TRACEBACK_WAIT_NS;

		if (due > open->line.time_ns + TRACEBACK_LONGEST_NS)
			due = open->line.time_ns + TRACEBACK_LONGEST_NS;
		if (due <= now_ns)
			hand_out(joiner, open);
		else if (due < again)
			again = due;
	}
	return again;
}

uint64_t traceback_joiner__held(const struct traceback_joiner *joiner)
{
	uint64_t held = UINT64_MAX;

	for (const struct open_traceback *open = joiner->open; open; open = open->hh.next)
		if (open->line.position < held)
			held = open->line.position;
	return held;
}

void traceback_joiner__exit(struct traceback_joiner *joiner, uint32_t tid)
{
	struct open_traceback *open, *next;

	HASH_ITER (hh, joiner->open, open, next) {
		if (!tid || open->key.tid == tid)
			hand_out(joiner, open);
	}
}
