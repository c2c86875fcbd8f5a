/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/handoff.h"

#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

struct held {
	struct held *prev, *next;               /* of all, the oldest first */
	struct held *thread_prev, *thread_next; /* of its thread */
	struct thread *thread;
	uint64_t write_ns; /* CLOCK_BOOTTIME */
	uint64_t position;
	uint32_t bytes;
	struct record record;
	char text[]; /* what the record points to */
};

struct thread {
	struct {
		uint32_t tgid;
		uint32_t tid;
	} key;
	struct held *held;
	bool in_vain;
	UT_hash_handle hh;
};

struct handoff {
	handoff_fn fn;
	void *ctx;
	struct held *held;
	struct thread *threads;
	uint32_t bytes;
	struct handoff_stats stats;
};

struct handoff *handoff__new(handoff_fn fn, void *ctx)
{
	struct handoff *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->fn = fn;
	h->ctx = ctx;
	return h;
}

static void take_out(struct handoff *h, struct held *held)
{
	DL_DELETE(h->held, held);
	DL_DELETE2(held->thread->held, held, thread_prev, thread_next);
	h->bytes -= held->bytes;
	h->stats.waiting--;
}

static void let_go(struct handoff *h, struct held *held, uint64_t seq)
{
	take_out(h, held);
	h->fn(h->ctx, &held->record, seq);
	free(held);
}

static void expire(struct handoff *h, struct held *held)
{
	held->thread->in_vain = true;
	h->stats.expired++;
	let_go(h, held, 0);
}

static void thread_free(struct handoff *h, struct thread *thread)
{
	while (thread->held)
		expire(h, thread->held);
	HASH_DEL(h->threads, thread);
	free(thread);
}

struct handoff *handoff__free(struct handoff *h)
{
	struct thread *thread, *next_thread;
	struct held *held, *next;

	if (!h)
		return NULL;
	DL_FOREACH_SAFE(h->held, held, next)
	{
		take_out(h, held);
		free(held);
	}
	HASH_ITER (hh, h->threads, thread, next_thread)
		thread_free(h, thread);
	free(h);
	return NULL;
}

static struct thread *thread_find(struct handoff *h, uint32_t tgid, uint32_t tid)
{
	struct thread key = { .key = { tgid, tid } }, *thread;

	HASH_FIND(hh, h->threads, &key.key, sizeof(key.key), thread);
	return thread;
}

static struct thread *thread_get(struct handoff *h, uint32_t tgid, uint32_t tid)
{
	struct thread *thread = thread_find(h, tgid, tid);

	if (thread)
		return thread;
	if (HASH_COUNT(h->threads) >= HANDOFF_THREADS)
		thread_free(h, h->threads);
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return NULL;
	thread->key.tgid = tgid;
	thread->key.tid = tid;
	HASH_ADD(hh, h->threads, key, sizeof(thread->key), thread);
	return thread;
}

static struct str keep(struct held *held, size_t *at, struct str text)
{
	char *copy = held->text + *at;

	if (!text.len)
		return (struct str){ NULL, 0 };
	memcpy(copy, text.data, text.len);
	*at += text.len;
	return (struct str){ copy, text.len };
}

static struct held *held_new(const struct record *record, const struct line *line)
{
	size_t text = record->body.len + record->message.len + record->exc_info.len, at = 0;
	struct held *held = malloc(sizeof(*held) + text);

	if (!held)
		return NULL;
	held->record = *record;
	held->record.body = keep(held, &at, record->body);
	held->record.message = keep(held, &at, record->message);
	held->record.exc_info = keep(held, &at, record->exc_info);
	held->write_ns = line->time_ns;
	held->position = line->position;
	held->bytes = sizeof(*held) + text;
	return held;
}

bool handoff__hold(struct handoff *h, const struct record *record, const struct line *line)
{
	struct thread *thread = thread_get(h, record->tgid, record->tid);
	struct held *held;

	if (!thread || thread->in_vain)
		return false;
	held = held_new(record, line);
	if (!held)
		return false;
	held->thread = thread;
	DL_APPEND(h->held, held);
	DL_APPEND2(thread->held, held, thread_prev, thread_next);
	h->bytes += held->bytes;
	h->stats.waiting++;
	while (h->stats.waiting > HANDOFF_RECORDS || h->bytes > HANDOFF_BYTES)
		expire(h, h->held);
	return true;
}

uint64_t handoff__held(const struct handoff *h)
{
	uint64_t lowest = UINT64_MAX;
	const struct held *held;

	/* nearly in order: a traceback's line comes late */
	DL_FOREACH(h->held, held)
	if (held->position < lowest)
		lowest = held->position;
	return lowest;
}

void handoff__settle(struct handoff *h, const struct event_handoff *event)
{
	struct thread *thread = thread_find(h, event->tgid, event->tid);

	if (!thread)
		return;
	while (thread->held) {
		bool mine = event->seq && thread->held->write_ns >= event->from_ns;

		if (mine)
			h->stats.given++;
		else
			h->stats.refused++;
		let_go(h, thread->held, mine ? event->seq : 0);
	}
	thread->in_vain = false;
}

void handoff__exit(struct handoff *h, uint32_t tgid, uint32_t tid)
{
	struct thread *thread = thread_find(h, tgid, tid);

	if (thread)
		thread_free(h, thread);
}

uint64_t handoff__tick(struct handoff *h, uint64_t now_ns)
{
	while (h->held && h->held->write_ns + HANDOFF_WAIT_NS <= now_ns)
		expire(h, h->held);
	return h->held ? h->held->write_ns + HANDOFF_WAIT_NS : UINT64_MAX;
}

void handoff__flush(struct handoff *h)
{
	while (h->held)
		expire(h, h->held);
}

const struct handoff_stats *handoff__stats(const struct handoff *h)
{
	return &h->stats;
}
