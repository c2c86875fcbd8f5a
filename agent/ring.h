/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring: the consumer's side of a BPF ring buffer map, with release apart from read.
 *
 * libbpf's consumer gives a record's space back as soon as the callback returns. Here space is
 * given back when the lines in it are durable: ring__read() moves a cursor of our own,
 * ring__release() tells the kernel. After a kill, the next agent reads from the last release.
 * Layout: Documentation/bpf/ringbuf.rst of the kernel.
 */
#ifndef REQTAP_RING_H
#define REQTAP_RING_H

#include <stddef.h>
#include <stdint.h>
#include "bpf/event.h"

struct ring;

/* Maps the ring of `map_fd`, which stays the caller's. Negative errno in *ret_err on NULL. */
struct ring *ring__new(int map_fd, int *ret_err);
struct ring *ring__free(struct ring *ring);

/*
 * The next record, or NULL when there is none yet. It stays valid until its space is released.
 * Discarded records are passed over. `ret_len`: its bytes.
 */
const struct event *ring__read(struct ring *ring, size_t *ret_len);

/* Where the cursor stands: what has been read up to there may be released. */
uint64_t ring__position(const struct ring *ring);

/* Gives the space up to `position` back to the kernel; positions only grow. */
void ring__release(struct ring *ring, uint64_t position);

/* Bytes waiting to be read; bytes read and not released; the ring's size. */
uint64_t ring__waiting(const struct ring *ring);
uint64_t ring__held(const struct ring *ring);
uint64_t ring__size(const struct ring *ring);

#endif
