/* SPDX-License-Identifier: Apache-2.0 */
/*
 * discard: throws away what comes through a pipe, on a loop. `run` stands where a container's
 * runtime would, and takes its lines from the kernel: nobody reads these bytes.
 *
 * They are moved, not copied, and in rounds: waking for each write of a busy command cost more
 * than everything that is done with its lines.
 */
#ifndef REQTAP_DISCARD_H
#define REQTAP_DISCARD_H

#include "agent/loop.h"

#define DISCARD_REST_NS 5000000ULL
/* What the pipe should hold, so that a writer does not wait while this rests. */
#define DISCARD_PIPE_BYTES (1 << 20)

struct discard;

/*
 * `fd` is the read end, not blocking; it stays the caller's. `ended` is called once, from the
 * loop, when all writers have closed. NULL with a negative errno in *ret_err.
 */
struct discard *discard__new(struct loop *loop, int fd, void (*ended)(void *ctx), void *ctx,
			     int *ret_err);
struct discard *discard__free(struct discard *discard);

#endif
