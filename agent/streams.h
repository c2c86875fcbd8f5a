/* SPDX-License-Identifier: Apache-2.0 */
/*
 * streams: the kernel's tables of streams (rt_stream; rt_inner, of relays' inputs).
 */
#ifndef REQTAP_STREAMS_H
#define REQTAP_STREAMS_H

#include <stdint.h>
#include <sys/types.h>
#include "bpf/event.h"

/* The file (device, inode), as stat(2) gives them, is `stream`. */
int streams__set(int stream_fd, uint64_t inode, dev_t device, const struct stream *stream);

/* Each stream that has lost something. */
void streams__losses(int stream_fd,
		     void (*fn)(void *ctx, const struct stream_key *key,
				const struct stream *stream),
		     void *ctx);

/* Forgets the streams whose container is gone (rt_container has it no more). */
void streams__sweep(int stream_fd, int container_fd);

#endif
