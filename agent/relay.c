/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/relay.h"

#include <errno.h>
#include <stdlib.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#define PREFIX_BYTES 96 /* a launcher's prefix is shorter */
#define PREFIX_TRIES 12 /* php-fpm's has ten blanks */

struct relay_key {
	uint64_t container;
	uint64_t hash; /* of the text */
	uint64_t len;
};

struct waiting {
	struct origin origin;
	struct waiting *next;
};

/* All that wait with one text, oldest first. */
struct same_text {
	struct relay_key key;
	struct waiting *list;
	UT_hash_handle hh;
};

struct relay {
	struct same_text *texts; /* in order of their first line */
	unsigned count;
};

struct relay *relay__new(void)
{
	return calloc(1, sizeof(struct relay));
}

static uint64_t text_hash(struct str text)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.data[i]) * 0x100000001b3ULL;
	return hash;
}

static void pop(struct relay *relay, struct same_text *same)
{
	struct waiting *first = same->list;

	LL_DELETE(same->list, first);
	free(first);
	relay->count--;
	if (!same->list) {
		HASH_DEL(relay->texts, same);
		free(same);
	}
}

struct relay *relay__free(struct relay *relay)
{
	while (relay && relay->texts)
		pop(relay, relay->texts);
	free(relay);
	return NULL;
}

void relay__origin(struct relay *relay, const struct line *line)
{
	struct relay_key key = { line->container, text_hash(line->text), line->text.len };
	struct waiting *waiting = calloc(1, sizeof(*waiting));
	struct same_text *same;

	while (relay->texts &&
	       (relay->count >= RELAY_LINES ||
		relay->texts->list->origin.time_ns + RELAY_TIMEOUT_NS < line->time_ns))
		pop(relay, relay->texts);
	HASH_FIND(hh, relay->texts, &key, sizeof(key), same);
	if (!same) {
		same = calloc(1, sizeof(*same));
		if (same) {
			same->key = key;
			HASH_ADD(hh, relay->texts, key, sizeof(same->key), same);
		}
	}
	if (!same || !waiting) {
		free(waiting);
		return;
	}
	waiting->origin = (struct origin){ .request = line->request,
					   .time_ns = line->time_ns,
					   .first_write_ns = line->first_write_ns,
					   .tgid = line->tgid,
					   .tid = line->tid,
					   .unit = line->unit };
	LL_APPEND(same->list, waiting);
	relay->count++;
}

/*
 * Two origins of one text and different requests that both wait: whose copy this is, is open, and
 * so it is for the copies of all that wait with it, in whatever order they come.
 */
static void take(struct relay *relay, struct same_text *same, struct origin *ret)
{
	uint64_t request = same->list->origin.request;
	bool disagree = false;
	struct waiting *waiting;

	LL_FOREACH(same->list, waiting)
	{
		disagree |= waiting->origin.request != request;
	}
	for (waiting = same->list; disagree && waiting; waiting = waiting->next) {
		waiting->origin.request = 0;
		waiting->origin.unit = RT_UNIT_NONE;
	}
	*ret = same->list->origin;
	pop(relay, same);
}

static bool is_late(const struct same_text *same, uint64_t now_ns)
{
	return same->list->origin.time_ns + RELAY_TIMEOUT_NS < now_ns;
}

/* Those that waited too long go first: a line of equal text is not their copy. */
static struct same_text *find(struct relay *relay, const struct line *line, struct str text)
{
	struct relay_key key = { line->container, text_hash(text), text.len };
	struct same_text *same;

	HASH_FIND(hh, relay->texts, &key, sizeof(key), same);
	while (same && is_late(same, line->time_ns)) {
		bool is_last = !same->list->next;

		pop(relay, same);
		if (is_last)
			same = NULL;
	}
	return same;
}

/* php-fpm's master repeats a line in quotation marks. */
static struct same_text *find_quoted(struct relay *relay, const struct line *line, struct str text)
{
	if (text.len < 2 || text.data[0] != '"' || text.data[text.len - 1] != '"')
		return NULL;
	return find(relay, line, (struct str){ text.data + 1, text.len - 2 });
}

int relay__match(struct relay *relay, const struct line *line, struct origin *ret)
{
	struct str text = line->text;

	for (int i = 0; relay->texts && i < PREFIX_TRIES; i++) {
		struct same_text *same = text.len || !i ? find(relay, line, text) : NULL;
		const char *blank;

		if (!same)
			same = find_quoted(relay, line, text);
		/* one process writes both: a pipe to itself is no relay */
		if (same && same->list->origin.tgid != line->tgid) {
			take(relay, same, ret);
			return 0;
		}
		blank = memchr(text.data, ' ', text.len < PREFIX_BYTES ? text.len : PREFIX_BYTES);
		if (!blank)
			break;
		text.len -= blank + 1 - text.data;
		text.data = blank + 1;
	}
	return -ENOENT;
}
