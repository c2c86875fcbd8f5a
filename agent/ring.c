/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>

/* include/uapi/linux/bpf.h: the record's head is its length with two flag bits, and 4 bytes more */
#define RING_BUSY (1U << 31)
#define RING_DISCARD (1U << 30)
#define RING_HEAD 8

struct ring {
	uint64_t *consumer;  /* released up to here: the kernel reads it */
	uint64_t *producer;  /* reserved up to here: the kernel writes it */
	const uint8_t *data; /* mapped twice in a row, so that no record is split */
	uint64_t size;
	uint64_t cursor;
	uint64_t record;     /* the one read last begins there */
	struct ring *before; /* NULL: none, or read and released */
	uint64_t base;       /* its end */
	uint64_t durable;
	uint64_t from_ns;
	bool in_before; /* the record read last is there */
	size_t page;
};

struct ring *ring__new(int map_fd, uint64_t durable, uint64_t from_ns, int *ret_err)
{
	struct bpf_map_info info = { 0 };
	uint32_t info_len = sizeof(info);
	struct ring *ring = calloc(1, sizeof(*ring));
	void *consumer = MAP_FAILED, *producer = MAP_FAILED;

	if (!ring) {
		*ret_err = -ENOMEM;
		return NULL;
	}
	if (bpf_obj_get_info_by_fd(map_fd, &info, &info_len) || info.type != BPF_MAP_TYPE_RINGBUF) {
		*ret_err = -EINVAL;
		return ring__free(ring);
	}
	ring->durable = durable;
	ring->from_ns = from_ns;
	ring->page = sysconf(_SC_PAGESIZE);
	ring->size = info.max_entries;
	consumer = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (consumer != MAP_FAILED)
		ring->consumer = consumer;
	producer =
		mmap(NULL, ring->page + 2 * ring->size, PROT_READ, MAP_SHARED, map_fd, ring->page);
	if (producer != MAP_FAILED) {
		ring->producer = producer;
		ring->data = (const uint8_t *)producer + ring->page;
	}
	if (!ring->consumer || !ring->producer) {
		*ret_err = -errno;
		return ring__free(ring);
	}
	ring->cursor = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
	return ring;
}

struct ring *ring__free(struct ring *ring)
{
	if (!ring)
		return NULL;
	ring__free(ring->before);
	if (ring->consumer)
		munmap(ring->consumer, ring->page);
	if (ring->producer)
		munmap(ring->producer, ring->page + 2 * ring->size);
	free(ring);
	return NULL;
}

void ring__follow(struct ring *ring, struct ring *before)
{
	ring->before = before;
	ring->base = before->base + __atomic_load_n(before->producer, __ATOMIC_ACQUIRE);
}

uint64_t ring__base(const struct ring *ring)
{
	return ring->base;
}

static const struct event *read_own(struct ring *ring, size_t *ret_len)
{
	uint64_t producer = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);

	while (ring->cursor < producer) {
		const uint8_t *record = ring->data + (ring->cursor & (ring->size - 1));
		uint32_t head = __atomic_load_n((const uint32_t *)record, __ATOMIC_ACQUIRE);
		uint32_t len = head & ~(RING_BUSY | RING_DISCARD);
		const struct event *event = (const void *)(record + RING_HEAD);

		if (head & RING_BUSY) /* reserved, not yet submitted: what follows waits too */
			return NULL;
		ring->record = ring->cursor;
		ring->cursor += (len + RING_HEAD + 7) & ~7ULL;
		if (head & RING_DISCARD)
			continue;
		if (ring->from_ns && len >= sizeof(*event) && event->kind == RT_EVENT_FRAGMENT &&
		    event->time_ns < ring->from_ns)
			continue;
		*ret_len = len;
		return event;
	}
	return NULL;
}

static bool before_is_read(const struct ring *ring)
{
	return !ring->before || ring__position(ring->before) >= ring->base;
}

const struct event *ring__read(struct ring *ring, size_t *ret_len)
{
	if (!before_is_read(ring)) {
		const struct event *event = ring__read(ring->before, ret_len);

		ring->in_before = true;
		if (event || !before_is_read(ring))
			return event;
	}
	ring->in_before = false;
	return read_own(ring, ret_len);
}

uint64_t ring__position(const struct ring *ring)
{
	return before_is_read(ring) ? ring->base + ring->cursor : ring__position(ring->before);
}

uint64_t ring__record(const struct ring *ring, bool *ret_was_durable)
{
	if (ring->in_before)
		return ring__record(ring->before, ret_was_durable);
	*ret_was_durable = ring->cursor <= ring->durable;
	return ring->base + ring->record;
}

static void release_own(struct ring *ring, uint64_t position)
{
	if (position > __atomic_load_n(ring->consumer, __ATOMIC_RELAXED) &&
	    position <= ring->cursor)
		__atomic_store_n(ring->consumer, position, __ATOMIC_RELEASE);
}

void ring__release(struct ring *ring, uint64_t position)
{
	if (ring->before)
		ring__release(ring->before, position < ring->base ? position : ring->base);
	if (position < ring->base)
		return;
	ring->before = ring__free(ring->before);
	release_own(ring, position - ring->base);
}

uint64_t ring__waiting(const struct ring *ring)
{
	uint64_t own = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) - ring->cursor;

	return ring->before ? own + ring__waiting(ring->before) : own;
}

uint64_t ring__held(const struct ring *ring)
{
	return ring->cursor - __atomic_load_n(ring->consumer, __ATOMIC_RELAXED);
}

uint64_t ring__size(const struct ring *ring)
{
	return ring->size;
}
