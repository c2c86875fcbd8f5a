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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bpf/event.h"

struct ring;

/*
 * Maps the ring of `map_fd`, which stays the caller's; reads from what was released last.
 * `durable`: an agent before this one has made the lines durable that end up to there. Fragments
 * older than `from_ns` are passed over: they are in the ring that this one replaced. Negative
 * errno in *ret_err on NULL.
 */
struct ring *ring__new(int map_fd, uint64_t durable, uint64_t from_ns, int *ret_err);
/* And the rings before it. */
struct ring *ring__free(struct ring *ring);

/*
 * `before`, to which nothing is written any more, is read to its end first, and is the ring's own
 * from now on. To be called before the first read. Positions count through both.
 */
void ring__follow(struct ring *ring, struct ring *before);

/* The end of the rings before it: positions of the ring itself begin there. */
uint64_t ring__base(const struct ring *ring);

/*
 * The next record, or NULL when there is none yet. It stays valid until its space is released.
 * Discarded records are passed over. `ret_len`: its bytes.
 */
const struct event *ring__read(struct ring *ring, size_t *ret_len);

/* Where the cursor stands: what has been read up to there may be released. */
uint64_t ring__position(const struct ring *ring);

/* Where the record that was read last begins, and whether the lines that it ends are durable. */
uint64_t ring__record(const struct ring *ring, bool *ret_was_durable);

/* Gives the space up to `position` back to the kernel; positions only grow. */
void ring__release(struct ring *ring, uint64_t position);

/* Bytes waiting to be read; bytes read and not released; the ring's size. */
uint64_t ring__waiting(const struct ring *ring);
uint64_t ring__held(const struct ring *ring);
uint64_t ring__size(const struct ring *ring);

#endif
