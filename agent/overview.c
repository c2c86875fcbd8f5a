/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/overview.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "agent/ring.h"

#define PROGRAMS_EVERY 10 /* ticks: a system call a program, a process that has a runtime */

struct overview {
	struct overview_config config;
	struct loop *loop;
	struct loop_timer *timer;
	uint64_t start_ns;
	unsigned ticks;
	struct stats stats; /* the programs' part is kept from tick to tick */
};

static uint64_t unix_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void read_programs(struct probe *probe, struct stats *stats)
{
	struct bpf_program *program;

	stats->program_count = 0;
	bpf_object__for_each_program(program, probe__object(probe))
	{
		struct stats_program *ret = &stats->programs[stats->program_count];
		struct bpf_prog_info info = { 0 };
		uint32_t len = sizeof(info);
		int fd = bpf_program__fd(program);

		if (fd < 0 || stats->program_count == STATS_PROGRAMS_MAX ||
		    bpf_obj_get_info_by_fd(fd, &info, &len))
			continue;
		memcpy(ret->name, info.name, sizeof(ret->name));
		ret->run_ns = info.run_time_ns;
		ret->runs = info.run_cnt;
		stats->program_count++;
	}
}

static void add_runtime(void *ctx, const struct runtime_info *info)
{
	struct stats *stats = ctx;
	struct stats_runtime *ret;

	if (stats->runtime_count++ >= STATS_RUNTIMES_MAX)
		return;
	ret = &stats->runtimes[stats->runtime_count - 1];
	snprintf(ret->name, sizeof(ret->name), "%s", info->name);
	snprintf(ret->version, sizeof(ret->version), "%s", info->version);
	snprintf(ret->path, sizeof(ret->path), "%s", info->path);
	snprintf(ret->unit, sizeof(ret->unit), "%s", info->unit);
	snprintf(ret->why, sizeof(ret->why), "%s", info->why);
	ret->processes = info->processes;
}

static void read_ring(struct probe *probe, struct stats *stats)
{
	const struct ring *ring = probe__ring(probe);

	stats->ring_bytes = ring__size(ring);
	stats->ring_waiting_bytes = ring__waiting(ring);
	stats->ring_held_bytes = ring__held(ring);
}

static void on_timer(void *ctx, uint64_t now_ns)
{
	struct overview *o = ctx;
	const struct overview_config *c = &o->config;
	struct stats *s = &o->stats;
	const uint64_t *kernel = s->kernel;

	s->up_ns = now_ns - o->start_ns;
	s->now_unix_ns = unix_ns();
	s->plan = probe__plan(c->probe) == PROBE_PLAN_FENTRY ? "fentry" : "syscall";
	s->plan_reason = probe__plan_reason(c->probe);
	(void)probe__counters(c->probe, s->kernel); /* on an error the last ones stand */
	s->requests_open = kernel[RT_REQUESTS] > kernel[RT_RESPONSES]
				   ? kernel[RT_REQUESTS] - kernel[RT_RESPONSES]
				   : 0;
	pipeline__stats(c->pipeline, &s->pipeline);
	shipper__stats(c->shipper, &s->shipper);
	s->containers = *container_table__stats(c->containers);
	s->has_metadata = c->metadata;
	if (c->metadata)
		s->metadata = *metadata__stats(c->metadata);
	s->metadata_age_ns = s->metadata.heard_ns ? now_ns - s->metadata.heard_ns : 0;
	s->hold = *hold__stats(c->hold);
	read_ring(c->probe, s);
	if (o->ticks++ % PROGRAMS_EVERY == 0) {
		read_programs(c->probe, s);
		s->runtime_count = 0;
		runtime_table__each(c->runtimes, add_runtime, s);
	}
	publish__set(c->publish, s);
	loop_timer__set(o->timer, now_ns + PUBLISH_INTERVAL_NS);
}

struct overview *overview__new(struct loop *loop, const struct overview_config *config)
{
	struct overview *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->config = *config;
	o->start_ns = loop__now(loop);
	o->timer = loop_timer__new(loop, on_timer, o);
	if (!o->timer)
		return overview__free(o);
	on_timer(o, o->start_ns);
	return o;
}

struct overview *overview__free(struct overview *o)
{
	if (o)
		loop_timer__free(o->timer);
	free(o);
	return NULL;
}
