/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests: walks of the kernel's tables of requests and of their owners (rt_request, rt_owner).
 */
#ifndef REQTAP_REQUESTS_H
#define REQTAP_REQUESTS_H

#include <stdint.h>
#include "bpf/event.h"

/* Each request in flight or recent. */
int requests__each(int request_fd, void (*fn)(void *ctx, const struct request *request), void *ctx);

/*
 * Forgets requests that ended before `before_ns`, the owners that point to them, to closed
 * connections, or are of processes that ended, and the streams of connections that are not followed
 * any more. 0 or negative errno.
 */
int requests__sweep(int request_fd, int owner_fd, int conn_fd, int h2_stream_fd,
		    uint64_t before_ns);

#endif
