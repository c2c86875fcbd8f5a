/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#define PREFIX_BYTES 96 /* a launcher's prefix is shorter */
#define PREFIX_TRIES 12 /* php-fpm's has ten blanks */
#define REST_BYTES 64   /* enough to see a traceback coming */

struct relay_key {
	uint64_t container;
	uint64_t hash; /* of the text */
	uint64_t len;
};

/* What an origin line knows. */
struct origin {
	uint64_t request;
	uint64_t time_ns;
	uint64_t first_write_ns;
	uint32_t tgid, tid;
	uint8_t unit;
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

/* A line that waits for its origin. */
struct held {
	struct held *next;
	struct line line;
	bool durable;
	char text[];
};

/* A process that copies lines; those of it that wait, in their order. */
struct process {
	uint32_t tgid;
	uint64_t container;
	struct held *list;
	UT_hash_handle hh;
};

struct relay {
	relay_fn fn;
	void *ctx;
	struct same_text *texts; /* in order of their first line */
	unsigned count;
	struct process *processes; /* in order of their first copy */
	unsigned held;
	size_t held_bytes;
};

struct relay *relay__new(relay_fn fn, void *ctx)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (!relay)
		return NULL;
	relay->fn = fn;
	relay->ctx = ctx;
	return relay;
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

static void drop(void *ctx, const struct line *line, bool durable)
{
}

/* The first of the process's lines goes on. */
static void held_go(struct relay *relay, struct process *process, const struct line *line)
{
	struct held *first = process->list;

	LL_DELETE(process->list, first);
	relay->held--;
	relay->held_bytes -= first->line.text.len;
	relay->fn(relay->ctx, line, first->durable);
	free(first);
}

static void process_free(struct relay *relay, struct process *process)
{
	while (process->list)
		held_go(relay, process, &process->list->line);
	HASH_DEL(relay->processes, process);
	free(process);
}

struct relay *relay__free(struct relay *relay)
{
	struct process *process, *next;

	if (!relay)
		return NULL;
	while (relay->texts)
		pop(relay, relay->texts);
	relay->fn = drop;
	HASH_ITER (hh, relay->processes, process, next)
		process_free(relay, process);
	free(relay);
	return NULL;
}

static void origin_add(struct relay *relay, const struct line *line)
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

/* The origin of a line in the container's stream, which it is a copy of. -ENOENT: none waits. */
static int match(struct relay *relay, const struct line *line, struct origin *ret)
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

/* `line` becomes the copy of `origin`. */
static void become(struct line *line, const struct origin *origin)
{
	line->request = origin->request;
	line->unit = origin->unit;
	line->tgid = origin->tgid;
	line->tid = origin->tid;
	line->time_ns = origin->time_ns;
	line->first_write_ns = origin->first_write_ns;
	line->relayed = true;
}

static struct process *process_of(struct relay *relay, uint32_t tgid)
{
	struct process *process;

	HASH_FIND(hh, relay->processes, &tgid, sizeof(tgid), process);
	return process;
}

static void process_add(struct relay *relay, const struct line *line)
{
	struct process *process = process_of(relay, line->tgid);

	if (process)
		return;
	if (HASH_COUNT(relay->processes) >= RELAY_PROCESSES)
		process_free(relay, relay->processes);
	process = calloc(1, sizeof(*process));
	if (!process)
		return;
	process->tgid = line->tgid;
	process->container = line->container;
	HASH_ADD(hh, relay->processes, tgid, sizeof(process->tgid), process);
}

/* Lines that found their origin, up to the first that has not. */
static void go_matched(struct relay *relay, struct process *process)
{
	struct origin origin;

	while (process->list && !match(relay, &process->list->line, &origin)) {
		struct line line = process->list->line;

		become(&line, &origin);
		held_go(relay, process, &line);
	}
}

void relay__origin(struct relay *relay, const struct line *line)
{
	struct process *process;

	origin_add(relay, line);
	if (!relay->held)
		return;
	for (process = relay->processes; process; process = process->hh.next)
		if (process->container == line->container)
			go_matched(relay, process);
}

/* -ENOENT: the line is not of a relay; -ENOBUFS, -ENOMEM: no more wait. */
static int hold(struct relay *relay, const struct line *line, bool durable)
{
	size_t rest = line->rest.len < REST_BYTES ? line->rest.len : REST_BYTES;
	struct process *process = process_of(relay, line->tgid);
	struct held *held;

	if (!process)
		return -ENOENT;
	if (relay->held >= RELAY_HELD || relay->held_bytes + line->text.len > RELAY_HELD_BYTES) {
		while (process->list)
			held_go(relay, process, &process->list->line);
		return -ENOBUFS;
	}
	held = malloc(sizeof(*held) + line->text.len + rest);
	if (!held)
		return -ENOMEM;
	memcpy(held->text, line->text.data, line->text.len);
	held->line = *line;
	held->line.text.data = held->text;
	if (rest)
		memcpy(held->text + line->text.len, line->rest.data, rest);
	held->line.rest = (struct str){ held->text + line->text.len, rest };
	held->durable = durable;
	LL_APPEND(process->list, held);
	relay->held++;
	relay->held_bytes += line->text.len;
	return 0;
}

void relay__line(struct relay *relay, const struct line *line, bool durable)
{
	struct process *process = relay->held ? process_of(relay, line->tgid) : NULL;
	struct line copy = *line;
	struct origin origin;

	if (line->request) {
		relay->fn(relay->ctx, line, durable);
	} else if (process && process->list) {
		if (hold(relay, line, durable))
			relay->fn(relay->ctx, line, durable);
	} else if (!match(relay, line, &origin)) {
		process_add(relay, line);
		become(&copy, &origin);
		relay->fn(relay->ctx, &copy, durable);
	} else if (hold(relay, line, durable)) {
		relay->fn(relay->ctx, line, durable);
	}
}

uint64_t relay__tick(struct relay *relay, uint64_t now_ns)
{
	struct process *process = relay->held ? relay->processes : NULL;
	uint64_t again = UINT64_MAX;

	for (; process; process = process->hh.next) {
		while (process->list && process->list->line.time_ns + RELAY_HOLD_NS <= now_ns) {
			held_go(relay, process, &process->list->line);
			go_matched(relay, process);
		}
		if (process->list && process->list->line.time_ns + RELAY_HOLD_NS < again)
			again = process->list->line.time_ns + RELAY_HOLD_NS;
	}
	return again;
}

void relay__flush(struct relay *relay)
{
	struct process *process;

	for (process = relay->processes; process; process = process->hh.next)
		while (process->list)
			held_go(relay, process, &process->list->line);
}

uint64_t relay__held(const struct relay *relay)
{
	const struct process *process = relay->held ? relay->processes : NULL;
	uint64_t held = UINT64_MAX;

	for (; process; process = process->hh.next)
		if (process->list && process->list->line.position < held)
			held = process->list->line.position;
	return held;
}
