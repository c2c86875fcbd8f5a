/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/drain.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define SWEEP_NS 5000000000ULL
#define SWEEP_AGE_NS 10000000000ULL /* ended so long ago: nobody writes for it any more */

struct drain {
	struct drain_config config;
	struct loop *loop;
	struct loop_timer *rest; /* until the next round */
	struct loop_timer *tick; /* the pipeline's timeouts */
	struct loop_timer *sweep;
};

/* One bounded round; true when there was anything. */
static bool read_round(struct drain *drain, unsigned records)
{
	struct ring *ring = probe__ring(drain->config.probe);
	const struct event *event;
	bool any = false;
	size_t len;

	while (records-- && (event = ring__read(ring, &len))) {
		any = true;
		pipeline__event(drain->config.pipeline, event, len);
		if (drain->config.event && len >= sizeof(*event))
			drain->config.event(drain->config.ctx, event);
	}
	if (any)
		drain->config.round(drain->config.ctx, ring__position(ring));
	return any;
}

static void on_rest(void *ctx, uint64_t now_ns)
{
	struct drain *drain = ctx;
	bool any = read_round(drain, DRAIN_ROUND_RECORDS);

	loop_timer__set(drain->tick, pipeline__tick(drain->config.pipeline, now_ns));
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
	/* what waited has become records, which belong to a position too */
	drain->config.round(drain->config.ctx, ring__position(probe__ring(drain->config.probe)));
}

static void on_sweep(void *ctx, uint64_t now_ns)
{
	struct drain *drain = ctx;

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
	*ret_err = loop__watch(loop, probe__wake_fd(config->probe), EPOLLIN, on_wake, drain);
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
}

void drain__release(struct drain *drain, uint64_t position)
{
	ring__release(probe__ring(drain->config.probe), position);
}
