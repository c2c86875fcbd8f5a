/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api_tail.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include "agent/follow.h"
#include "agent/format.h"

#define EVENT_RECORDS 200       /* in one event at most */
#define ALIVE_NS 10000000000ULL /* a comment, so that a dead connection is noticed */

struct tail {
	struct follow *follow;
	struct search_place after; /* resume behind it; time 0: from now on */
	FILE *out;
	unsigned count; /* records in the event that is open */
	struct search_place last;
	uint64_t said_ns;
};

static uint64_t unix_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The id is where to go on from after a break: EventSource sends it back. */
static void end_event(struct tail *tail)
{
	if (tail->count)
		fprintf(tail->out, "]\nid: %" PRIu64 "-%" PRId64 "\n\n", tail->last.time_ns,
			tail->last.seq);
	tail->count = 0;
}

static bool put(void *ctx, const struct record *record, int64_t seq, uint32_t missing)
{
	const struct format_place place = { seq, missing };
	struct tail *tail = ctx;

	fputs(tail->count ? "," : "data: [", tail->out);
	format__json(tail->out, record, &place);
	tail->last = (struct search_place){ record->time_ns, seq };
	if (++tail->count == EVENT_RECORDS)
		end_event(tail);
	return true;
}

static int next(void *ctx, FILE *out)
{
	struct tail *tail = ctx;
	uint64_t now_ns = unix_now();
	int err = 0;

	tail->out = out;
	if (!tail->said_ns)
		fputs("retry: 1000\n\n", out);
	if (tail->after.time_ns) {
		err = follow__resume(tail->follow, &tail->after, put, tail);
		tail->after.time_ns = 0;
	}
	if (!err)
		err = follow__poll(tail->follow, now_ns, put, tail);
	end_event(tail);
	if (err && err != -EBADMSG)
		return err;
	if (now_ns - tail->said_ns >= ALIVE_NS)
		fputs(": alive\n\n", out);
	if (ftell(out) > 0)
		tail->said_ns = now_ns;
	return -EAGAIN;
}

static void end(void *ctx)
{
	struct tail *tail = ctx;

	follow__free(tail->follow);
	free(tail);
}

unsigned api_tail(const char *state_dir, struct http_request *request, FILE *out,
		  const struct query *query)
{
	const char *after = http__header(request, "Last-Event-ID");
	struct tail *tail = calloc(1, sizeof(*tail));

	if (tail)
		tail->follow = follow__new(state_dir, query);
	if (!tail || !tail->follow) {
		free(tail);
		return 503;
	}
	if (!after)
		after = http__parameter(request, "after");
	if (after &&
	    sscanf(after, "%" SCNu64 "-%" SCNd64, &tail->after.time_ns, &tail->after.seq) != 2)
		tail->after.time_ns = 0;
	http__set_header(request, "Content-Type", "text/event-stream");
	http__set_header(request, "X-Accel-Buffering", "no");
	http__stream(request, next, end, tail);
	return 200;
}
