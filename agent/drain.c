/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/drain.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define SWEEP_NS 5000000000ULL
#define SWEEP_AGE_NS 10000000000ULL /* ended so long ago: nobody writes for it any more */

/* Rounds that may be out before the first is durable; more are joined into one. */
#define CHECKPOINTS 256

/* What a mark stands for: where ring space could be given back to, and what was sent. */
struct checkpoint {
	uint64_t mark;
	uint64_t released;
	uint64_t durable;
};

struct drain {
	struct drain_config config;
	struct loop *loop;
	struct loop_timer *rest; /* until the next round */
	struct loop_timer *tick; /* the pipeline's timeouts */
	struct loop_timer *sweep;
	uint64_t mark;
	struct checkpoint checkpoints[CHECKPOINTS]; /* a queue */
	unsigned first, count;
};

static struct checkpoint *checkpoint_at(struct drain *drain, unsigned index)
{
	return &drain->checkpoints[(drain->first + index) % CHECKPOINTS];
}

static void end_round(struct drain *drain)
{
	struct ring *ring = probe__ring(drain->config.probe);
	uint64_t position = ring__position(ring), unsent,
		 held = pipeline__held(drain->config.pipeline, &unsent);
	struct checkpoint *last;

	/* When the queue is full the last gives way: its mark then releases what one before does.
	 */
	if (drain->count < CHECKPOINTS)
		drain->count++;
	last = checkpoint_at(drain, drain->count - 1);
	last->mark = ++drain->mark;
	last->durable = position < unsent ? position : unsent;
	last->released = position < held ? position : held;
	/* One thread in the middle of its line must not fill the ring for all others. */
	if (position - last->released > ring__size(ring) / 4)
		last->released = last->durable;
	drain->config.round(drain->config.ctx, drain->mark);
}

/* Reads so many records at most; true when there was anything. */
static bool read_round(struct drain *drain, unsigned records)
{
	struct ring *ring = probe__ring(drain->config.probe);
	const struct event *event;
	bool any = false, was_durable;
	uint64_t position;
	size_t len;

	while (records-- && (event = ring__read(ring, &len))) {
		any = true;
		position = ring__record(ring, &was_durable);
		pipeline__at(drain->config.pipeline, position, was_durable);
		pipeline__event(drain->config.pipeline, event, len);
		if (drain->config.event && len >= sizeof(*event))
			drain->config.event(drain->config.ctx, event);
	}
	return any;
}

static void on_rest(void *ctx, uint64_t now_ns)
{
	struct drain *drain = ctx;
	bool any = read_round(drain, DRAIN_ROUND_RECORDS);

	loop_timer__set(drain->tick, pipeline__tick(drain->config.pipeline, now_ns));
	end_round(drain);
	if (any || !probe__arm(drain->config.probe))
		loop_timer__set(drain->rest, now_ns + DRAIN_REST_NS);
}

static void on_wake(void *ctx, int fd, uint32_t events)
{
	struct drain *drain = ctx;
	struct epoll_event event;

	epoll_wait(fd, &event, 1, 0); /* takes the edge */
	loop_timer__set(drain->rest, loop__now(drain->loop));
}

static void on_tick(void *ctx, uint64_t now_ns)
{
	struct drain *drain = ctx;

	loop_timer__set(drain->tick, pipeline__tick(drain->config.pipeline, now_ns));
	end_round(drain); /* what waited has become records */
}

static void on_lost(void *ctx, const struct stream_key *key, const struct stream *stream)
{
	struct drain *drain = ctx;

	pipeline__lost(drain->config.pipeline, key, stream);
}

/* Losses that no later fragment tells. In order: what was written before them is read first. */
static void tell_losses(struct drain *drain)
{
	probe__losses(drain->config.probe, on_lost, drain);
	drain__now(drain);
	probe__losses(drain->config.probe, on_lost, drain);
}

static void on_sweep(void *ctx, uint64_t now_ns)
{
	struct drain *drain = ctx;

	tell_losses(drain);
	probe__sweep(drain->config.probe, now_ns - SWEEP_AGE_NS);
	loop_timer__set(drain->sweep, now_ns + SWEEP_NS);
}

struct drain *drain__new(struct loop *loop, const struct drain_config *config, int *ret_err)
{
	struct drain *drain = calloc(1, sizeof(*drain));

	*ret_err = -ENOMEM;
	if (!drain)
		return NULL;
	drain->config = *config;
	drain->loop = loop;
	drain->rest = loop_timer__new(loop, on_rest, drain);
	drain->tick = loop_timer__new(loop, on_tick, drain);
	drain->sweep = loop_timer__new(loop, on_sweep, drain);
	if (!drain->rest || !drain->tick || !drain->sweep)
		return drain__free(drain);
	*ret_err = probe__begin(config->probe);
	if (!*ret_err)
		*ret_err =
			loop__watch(loop, probe__wake_fd(config->probe), EPOLLIN, on_wake, drain);
	if (*ret_err)
		return drain__free(drain);
	loop_timer__set(drain->rest, loop__now(loop));
	loop_timer__set(drain->sweep, loop__now(loop) + SWEEP_NS);
	return drain;
}

struct drain *drain__free(struct drain *drain)
{
	if (!drain)
		return NULL;
	loop__unwatch(drain->loop, probe__wake_fd(drain->config.probe));
	loop_timer__free(drain->rest);
	loop_timer__free(drain->tick);
	loop_timer__free(drain->sweep);
	free(drain);
	return NULL;
}

void drain__now(struct drain *drain)
{
	/* records are at least a head long: this is more than a ring holds */
	read_round(drain, ring__size(probe__ring(drain->config.probe)) / sizeof(struct event));
	end_round(drain);
}

void drain__stop(struct drain *drain)
{
	drain__now(drain);
	pipeline__settle(drain->config.pipeline);
	end_round(drain);
	loop__unwatch(drain->loop, probe__wake_fd(drain->config.probe));
	loop_timer__set(drain->rest, UINT64_MAX);
	loop_timer__set(drain->tick, UINT64_MAX);
	loop_timer__set(drain->sweep, UINT64_MAX);
}

void drain__finish(struct drain *drain)
{
	drain__now(drain);
	pipeline__flush(drain->config.pipeline);
	tell_losses(drain);
	end_round(drain);
}

void drain__release(struct drain *drain, uint64_t mark)
{
	struct checkpoint *done = NULL;

	while (drain->count && checkpoint_at(drain, 0)->mark <= mark) {
		done = checkpoint_at(drain, 0);
		drain->first = (drain->first + 1) % CHECKPOINTS;
		drain->count--;
	}
	if (done)
		probe__release(drain->config.probe, done->released, done->durable);
}
