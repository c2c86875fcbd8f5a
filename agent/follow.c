/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/follow.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HELD_MAX 16384 /* records; what is beyond is read when these are shown */

struct follow {
	char dir[PATH_MAX];
	struct match *match;
	struct query query;
	struct search *search; /* NULL: there is no history yet */
	struct heap *held;
	int64_t cursor; /* 0: not begun */
	uint32_t version;
	bool behind; /* there was more than could be held */
};

struct follow *follow__new(const char *dir, const struct query *query)
{
	struct follow *follow = calloc(1, sizeof(*follow));

	if (!follow)
		return NULL;
	snprintf(follow->dir, sizeof(follow->dir), "%s", dir);
	follow->match = match__new(query);
	follow->held = heap__new();
	return follow->match && follow->held ? follow : follow__free(follow);
}

struct follow *follow__free(struct follow *follow)
{
	if (!follow)
		return NULL;
	search__close(follow->search);
	match__free(follow->match);
	heap__free(follow->held);
	free(follow);
	return NULL;
}

/* 0; -ENOENT: there is none yet. */
static int open_search(struct follow *follow)
{
	int err = 0;

	if (follow->search && scan__is_stale(search__scan(follow->search))) {
		/* set aside or removed: numbers begin anew */
		follow->search = search__close(follow->search);
		follow->cursor = 1;
	}
	if (!follow->search) {
		follow->search = search__open(follow->dir, &err);
		follow->version = 0;
	}
	/* of a history that begins while we wait, all is new */
	if (err == -ENOENT)
		follow->cursor = 1;
	else if (!err && !follow->cursor)
		follow->cursor = search__end(follow->search);
	return err;
}

int follow__backlog(struct follow *follow, size_t limit, uint64_t since_ns, search_fn fn, void *ctx)
{
	struct search_range range = { .since_ns = since_ns, .until_ns = UINT64_MAX };
	int err = open_search(follow);

	if (err)
		return err == -ENOENT ? 0 : err;
	range.end = follow->cursor;
	return search__newest(follow->search, match__query(follow->match), &range, limit, NULL, fn,
			      ctx);
}

int follow__resume(struct follow *follow, const struct search_place *after, search_fn fn, void *ctx)
{
	struct search_range range = { .since_ns = after->time_ns,
				      .until_ns = UINT64_MAX,
				      .after = after };
	int err = open_search(follow);

	if (err)
		return err == -ENOENT ? 0 : err;
	range.end = follow->cursor;
	return search__all(follow->search, match__query(follow->match), &range, fn, ctx);
}

/* Reads on until enough is held. */
static int read_on(struct follow *follow)
{
	uint32_t version = scan__version(search__scan(follow->search));
	int err = 0;

	if (version == follow->version && !follow->behind)
		return 0;
	follow->version = version;
	if (follow->cursor > search__end(follow->search))
		follow->cursor = search__end(follow->search);
	while (!err && heap__count(follow->held) < HELD_MAX)
		err = search__arrived(follow->search, follow->match, &follow->cursor, follow->held);
	follow->behind = !err;
	return err == -ENOENT ? 0 : err;
}

int follow__poll(struct follow *follow, uint64_t now_unix_ns, search_fn fn, void *ctx)
{
	int err = open_search(follow);
	const struct heap_item *first;
	bool go_on = true;

	if (!err)
		err = read_on(follow);
	while (go_on && (first = heap__first(follow->held))) {
		if (first->time_ns + FOLLOW_HOLD_NS > now_unix_ns &&
		    heap__count(follow->held) < HELD_MAX)
			break;
		go_on = search__give(follow->search, follow->match, first, fn, ctx);
		heap__drop(follow->held);
	}
	if (!go_on)
		return -EPIPE;
	return err == -ENOENT || err == -EBUSY ? 0 : err;
}
