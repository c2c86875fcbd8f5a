/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/discard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct discard {
	struct loop *loop;
	struct loop_timer *rest;
	int fd;
	int null;
	bool watched;
	void (*ended)(void *ctx);
	void *ctx;
};

static void on_readable(void *ctx, int fd, uint32_t events);

static void watch(struct discard *discard, bool on)
{
	if (on == discard->watched)
		return;
	if (!on)
		loop__unwatch(discard->loop, discard->fd);
	else if (loop__watch(discard->loop, discard->fd, EPOLLIN, on_readable, discard))
		return;
	discard->watched = on;
}

/* Takes all that is there; rests after bytes, and waits for the next after none. */
static void take(struct discard *discard, uint64_t now_ns)
{
	ssize_t n = splice(discard->fd, NULL, discard->null, NULL, DISCARD_PIPE_BYTES,
			   SPLICE_F_NONBLOCK);

	if (n > 0) {
		/* a pipe that was half full would be full before the end of a rest */
		bool busy = n >= DISCARD_PIPE_BYTES / 2;

		watch(discard, false);
		loop_timer__set(discard->rest, busy ? now_ns : now_ns + DISCARD_REST_NS);
	} else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		watch(discard, true);
		if (!discard->watched) /* no memory for it: by time, then */
			loop_timer__set(discard->rest, now_ns + DISCARD_REST_NS);
	} else {
		watch(discard, false);
		discard->ended(discard->ctx);
	}
}

static void on_readable(void *ctx, int fd, uint32_t events)
{
	struct discard *discard = ctx;

	take(discard, loop__now(discard->loop));
}

static void on_rest(void *ctx, uint64_t now_ns)
{
	take(ctx, now_ns);
}

struct discard *discard__new(struct loop *loop, int fd, void (*ended)(void *ctx), void *ctx,
			     int *ret_err)
{
	struct discard *discard = calloc(1, sizeof(*discard));

	*ret_err = -ENOMEM;
	if (!discard)
		return NULL;
	*discard = (struct discard){ .loop = loop, .fd = fd, .ended = ended, .ctx = ctx };
	discard->rest = loop_timer__new(loop, on_rest, discard);
	discard->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (discard->null < 0)
		*ret_err = -errno;
	else if (discard->rest)
		*ret_err = 0;
	if (*ret_err)
		return discard__free(discard);
	fcntl(fd, F_SETPIPE_SZ, DISCARD_PIPE_BYTES); /* else it stays as large as it is */
	loop_timer__set(discard->rest, loop__now(loop));
	return discard;
}

struct discard *discard__free(struct discard *discard)
{
	if (!discard)
		return NULL;
	watch(discard, false);
	loop_timer__free(discard->rest);
	if (discard->null >= 0)
		close(discard->null);
	free(discard);
	return NULL;
}
