/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "agent/loop.h"
#include "tests/unit/unit.h"

#define MS 1000000ULL

struct seen {
	struct loop *loop;
	struct loop_timer *other;
	int fds[2];
	unsigned calls;
	int value;
	uint64_t at_ns;
};

static void stop_at(void *ctx, uint64_t now_ns)
{
	struct seen *seen = ctx;

	seen->calls++;
	seen->at_ns = now_ns;
	loop__stop(seen->loop);
}

static void test_timer_fires_once_and_not_early(void **state)
{
	struct seen seen = { .loop = loop__new() };
	struct loop_timer *timer = loop_timer__new(seen.loop, stop_at, &seen);
	uint64_t due_ns = loop__now(seen.loop) + 20 * MS;

	loop_timer__set(timer, due_ns);
	assert_int_equal(loop__run(seen.loop), 0);
	assert_int_equal(seen.calls, 1);
	assert_true(seen.at_ns >= due_ns);
	assert_true(seen.at_ns < due_ns + 2000 * MS);
	loop_timer__free(timer);
	loop__free(seen.loop);
}

static void test_time_in_the_past_fires_at_once(void **state)
{
	struct seen seen = { .loop = loop__new() };
	struct loop_timer *timer = loop_timer__new(seen.loop, stop_at, &seen);

	loop_timer__set(timer, 0);
	assert_int_equal(loop__run(seen.loop), 0);
	assert_int_equal(seen.calls, 1);
	loop_timer__free(timer);
	loop__free(seen.loop);
}

static void free_other(void *ctx, uint64_t now_ns)
{
	struct seen *seen = ctx;

	seen->other = loop_timer__free(seen->other);
	seen->calls += 10;
}

static void test_callback_may_free_a_due_timer(void **state)
{
	struct seen seen = { .loop = loop__new() };
	struct loop_timer *end = loop_timer__new(seen.loop, stop_at, &seen);
	struct loop_timer *killer = loop_timer__new(seen.loop, free_other, &seen);

	seen.other = loop_timer__new(seen.loop, stop_at, &seen);
	loop_timer__set(killer, 1);
	loop_timer__set(seen.other, 2);
	loop_timer__set(end, loop__now(seen.loop) + 5 * MS);
	assert_int_equal(loop__run(seen.loop), 0);
	assert_int_equal(seen.calls, 11);
	loop_timer__free(killer);
	loop_timer__free(end);
	loop__free(seen.loop);
}

static void read_byte(void *ctx, int fd, uint32_t events)
{
	struct seen *seen = ctx;
	char byte;

	assert_int_equal(read(fd, &byte, 1), 1);
	seen->calls++;
	seen->value = byte;
	loop__unwatch(seen->loop, fd);
	loop__stop(seen->loop);
}

static void test_readable_descriptor(void **state)
{
	struct seen seen = { .loop = loop__new() };

	assert_int_equal(pipe(seen.fds), 0);
	assert_int_equal(loop__watch(seen.loop, seen.fds[0], EPOLLIN, read_byte, &seen), 0);
	assert_int_equal(write(seen.fds[1], "ab", 2), 2);
	assert_int_equal(loop__run(seen.loop), 0);
	assert_int_equal(seen.value, 'a');
	/* Unwatched now: the second byte waits, and only the timer ends the loop. */
	struct loop_timer *timer = loop_timer__new(seen.loop, stop_at, &seen);

	loop_timer__set(timer, loop__now(seen.loop) + 10 * MS);
	assert_int_equal(loop__run(seen.loop), 0);
	assert_int_equal(seen.calls, 2);
	assert_int_equal(seen.value, 'a');
	loop_timer__free(timer);
	loop__free(seen.loop);
	close(seen.fds[0]);
	close(seen.fds[1]);
}

struct pair {
	struct loop *loop;
	int fds[2];
	unsigned calls;
};

/* Both ends are ready in one round: the first callback closes the other and reuses its number. */
static void close_the_other(void *ctx, int fd, uint32_t events)
{
	struct pair *pair = ctx;
	int other = fd == pair->fds[0] ? pair->fds[1] : pair->fds[0];

	pair->calls++;
	loop__unwatch(pair->loop, other);
	assert_int_equal(dup2(STDIN_FILENO, other), other);
	loop__stop(pair->loop);
}

static void test_stale_event_is_not_delivered(void **state)
{
	struct pair pair = { .loop = loop__new() };
	int a[2], b[2];

	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	pair.fds[0] = a[0];
	pair.fds[1] = b[0];
	loop__watch(pair.loop, a[0], EPOLLIN, close_the_other, &pair);
	loop__watch(pair.loop, b[0], EPOLLIN, close_the_other, &pair);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_int_equal(loop__run(pair.loop), 0);
	assert_int_equal(pair.calls, 1);
	loop__free(pair.loop);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

static void got_signal(void *ctx, int signal)
{
	struct seen *seen = ctx;

	seen->value = signal;
	loop__stop(seen->loop);
}

static void test_signal(void **state)
{
	struct seen seen = { .loop = loop__new() };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	assert_int_equal(loop__signals(seen.loop, &set, got_signal, &seen), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(loop__run(seen.loop), 0);
	assert_int_equal(seen.value, SIGUSR1);
	loop__free(seen.loop);
}

static void test_bad_descriptor(void **state)
{
	struct loop *loop = loop__new();

	assert_int_equal(loop__watch(loop, -1, EPOLLIN, read_byte, NULL), -EBADF);
	assert_int_equal(loop__watch(loop, 999, EPOLLIN, read_byte, NULL), -EBADF);
	loop__unwatch(loop, 999);
	loop__unwatch(loop, 100000);
	assert_null(loop__free(loop));
	assert_null(loop__free(NULL));
	assert_null(loop_timer__free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timer_fires_once_and_not_early),
		cmocka_unit_test(test_time_in_the_past_fires_at_once),
		cmocka_unit_test(test_callback_may_free_a_due_timer),
		cmocka_unit_test(test_readable_descriptor),
		cmocka_unit_test(test_stale_event_is_not_delivered),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_bad_descriptor),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
