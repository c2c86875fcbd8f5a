/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "agent/loop.h"

#define EVENTS_PER_ROUND 64

struct watch {
	loop_fd_fn fn;
	void *ctx;
	uint32_t generation; /* tells an event queued for an earlier owner of this descriptor */
};

struct loop_timer {
	struct loop *loop;
	struct loop_timer *next;
	loop_timer_fn fn;
	void *ctx;
	uint64_t at_ns;
};

struct loop {
	int epoll_fd;
	int timer_fd;
	int signal_fd;
	bool stopped;
	uint32_t generation;
	uint64_t now_ns;
	uint64_t armed_ns;     /* what timer_fd is set to; UINT64_MAX: nothing */
	struct watch *watches; /* by descriptor */
	size_t watch_count;
	struct loop_timer *timers; /* a handful: no heap */
	loop_signal_fn signal_fn;
	void *signal_ctx;
};

static uint64_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void timer_expired(void *ctx, int fd, uint32_t events)
{
	struct loop *loop = ctx;
	uint64_t count;

	/* The timers themselves run at the end of the round, whatever woke it. */
	if (read(fd, &count, sizeof(count)) == sizeof(count))
		loop->armed_ns = UINT64_MAX;
}

struct loop *loop__new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->signal_fd = -1;
	loop->armed_ns = UINT64_MAX;
	loop->now_ns = clock_now();
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->epoll_fd < 0 || loop->timer_fd < 0 ||
	    loop__watch(loop, loop->timer_fd, EPOLLIN, timer_expired, loop) < 0)
		return loop__free(loop);
	return loop;
}

struct loop *loop__free(struct loop *loop)
{
	if (!loop)
		return NULL;
	if (loop->signal_fd >= 0)
		close(loop->signal_fd);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	free(loop->watches);
	free(loop);
	return NULL;
}

uint64_t loop__now(const struct loop *loop)
{
	return loop->now_ns;
}

static int reserve_watch(struct loop *loop, int fd)
{
	size_t count = (size_t)fd + 1;
	struct watch *grown;

	if (count <= loop->watch_count)
		return 0;
	count = (count + 63) & ~(size_t)63;
	grown = realloc(loop->watches, count * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + loop->watch_count, 0, (count - loop->watch_count) * sizeof(*grown));
	loop->watches = grown;
	loop->watch_count = count;
	return 0;
}

int loop__watch(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *ctx)
{
	struct epoll_event event = { .events = events };
	struct watch *watch;
	int err;

	if (fd < 0)
		return -EBADF;
	err = reserve_watch(loop, fd);
	if (err)
		return err;
	watch = &loop->watches[fd];
	if (!watch->fn)
		watch->generation = ++loop->generation;
	event.data.u64 = (uint64_t)watch->generation << 32 | (uint32_t)fd;
	if (epoll_ctl(loop->epoll_fd, watch->fn ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	watch->fn = fn;
	watch->ctx = ctx;
	return 0;
}

void loop__unwatch(struct loop *loop, int fd)
{
	if (fd < 0 || (size_t)fd >= loop->watch_count || !loop->watches[fd].fn)
		return;
	loop->watches[fd] = (struct watch){ 0 };
	/* Fails when the descriptor was closed first: then the kernel has forgotten it already. */
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

struct loop_timer *loop_timer__new(struct loop *loop, loop_timer_fn fn, void *ctx)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return NULL;
	*timer = (struct loop_timer){ loop, loop->timers, fn, ctx, UINT64_MAX };
	loop->timers = timer;
	return timer;
}

struct loop_timer *loop_timer__free(struct loop_timer *timer)
{
	struct loop_timer **link;

	if (!timer)
		return NULL;
	for (link = &timer->loop->timers; *link != timer; link = &(*link)->next)
		;
	*link = timer->next;
	free(timer);
	return NULL;
}

void loop_timer__set(struct loop_timer *timer, uint64_t at_ns)
{
	timer->at_ns = at_ns;
}

static struct loop_timer *first_timer(struct loop *loop)
{
	struct loop_timer *first = NULL;

	for (struct loop_timer *timer = loop->timers; timer; timer = timer->next)
		if (timer->at_ns != UINT64_MAX && (!first || timer->at_ns < first->at_ns))
			first = timer;
	return first;
}

/* Looks for the first one anew after each: a callback may set or free any of them. */
static void run_timers(struct loop *loop)
{
	struct loop_timer *timer;

	while (!loop->stopped && (timer = first_timer(loop)) && timer->at_ns <= loop->now_ns) {
		timer->at_ns = UINT64_MAX;
		timer->fn(timer->ctx, loop->now_ns);
	}
}

static void arm(struct loop *loop)
{
	const struct loop_timer *timer = first_timer(loop);
	uint64_t at_ns = timer ? timer->at_ns : UINT64_MAX;
	struct itimerspec spec = { 0 };

	if (at_ns == loop->armed_ns)
		return;
	if (timer) {
		/* 0 would disarm it. */
		uint64_t set_ns = at_ns ? at_ns : 1;

		spec.it_value.tv_sec = (time_t)(set_ns / 1000000000);
		spec.it_value.tv_nsec = (long)(set_ns % 1000000000);
	}
	if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0)
		loop->armed_ns = at_ns;
}

static void signal_arrived(void *ctx, int fd, uint32_t events)
{
	struct loop *loop = ctx;
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == sizeof(info))
		loop->signal_fn(loop->signal_ctx, (int)info.ssi_signo);
}

int loop__signals(struct loop *loop, const sigset_t *set, loop_signal_fn fn, void *ctx)
{
	int fd;

	if (sigprocmask(SIG_BLOCK, set, NULL) < 0)
		return -errno;
	fd = signalfd(loop->signal_fd, set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	loop->signal_fd = fd;
	loop->signal_fn = fn;
	loop->signal_ctx = ctx;
	return loop__watch(loop, fd, EPOLLIN, signal_arrived, loop);
}

static void dispatch(struct loop *loop, const struct epoll_event *event)
{
	int fd = (int)(uint32_t)event->data.u64;
	struct watch *watch = &loop->watches[fd];

	if (watch->fn && watch->generation == event->data.u64 >> 32)
		watch->fn(watch->ctx, fd, event->events);
}

int loop__run(struct loop *loop)
{
	struct epoll_event events[EVENTS_PER_ROUND];

	loop->stopped = false;
	while (!loop->stopped) {
		int count;

		arm(loop);
		count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_ROUND, -1);
		if (count < 0 && errno != EINTR)
			return -errno;
		loop->now_ns = clock_now();
		for (int i = 0; i < count && !loop->stopped; i++)
			dispatch(loop, &events[i]);
		run_timers(loop);
	}
	return 0;
}

void loop__stop(struct loop *loop)
{
	loop->stopped = true;
}
