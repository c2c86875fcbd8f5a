/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: one epoll with file descriptors, one-shot timers and signals. One thread; callbacks run
 * to their end. Everything that waits in reqtap waits here, so every wait has an end.
 */
#ifndef REQTAP_LOOP_H
#define REQTAP_LOOP_H

#include <signal.h>
#include <stdint.h>

struct loop;
struct loop_timer;

typedef void (*loop_fd_fn)(void *ctx, int fd, uint32_t events);
typedef void (*loop_timer_fn)(void *ctx, uint64_t now_ns);
typedef void (*loop_signal_fn)(void *ctx, int signal);

struct loop *loop__new(void);
struct loop *loop__free(struct loop *loop);

/* CLOCK_BOOTTIME; read once per round. */
uint64_t loop__now(const struct loop *loop);

/* `events`: EPOLLIN, EPOLLOUT. A second call for the same fd changes it. 0 or negative errno. */
int loop__watch(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *ctx);
void loop__unwatch(struct loop *loop, int fd);

/* A timer, not yet set. loop_timer__set(UINT64_MAX) unsets it. Times are CLOCK_BOOTTIME. */
struct loop_timer *loop_timer__new(struct loop *loop, loop_timer_fn fn, void *ctx);
struct loop_timer *loop_timer__free(struct loop_timer *timer);
void loop_timer__set(struct loop_timer *timer, uint64_t at_ns);

/* Blocks the signals of `set` for the process and calls `fn` for each. */
int loop__signals(struct loop *loop, const sigset_t *set, loop_signal_fn fn, void *ctx);

/* Runs until loop__stop(); 0 or negative errno. */
int loop__run(struct loop *loop);
void loop__stop(struct loop *loop);

#endif
