/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * write: a write to a stream becomes fragments. Both plans call these: the arguments are kept at
 * entry, the bytes are read at exit with the true return value, so that a write that failed or
 * came back short is not logged as if it had not, and the pages that it reads are resident.
 */
#ifndef REQTAP_WRITE_BPF_H
#define REQTAP_WRITE_BPF_H

#include "bpf/handoff.bpf.h"
#include "bpf/ring.bpf.h"
#include "bpf/segment.bpf.h"
#include "bpf/task.bpf.h"
#include "bpf/unit.bpf.h"

#define WRITE_STEPS 160 /* RT_WRITE_CHUNKS and some for small segments */

static __always_inline struct stream *stream_find(const struct stream_key *key)
{
	struct stream *stream = bpf_map_lookup_elem(&rt_stream, key);

	return stream ? stream : bpf_map_lookup_elem(&rt_inner, key);
}

/*
 * A worker that was forked, and not executed, may have got other pipes for its output since
 * (php-fpm): what it writes into them for a request is a relay's input. True: it is now. Global:
 * its stack is not its callers'.
 */
__weak int stream_adopt(u64 inode, u32 device, u32 fd, u64 container)
{
	struct stream_key key = { .inode = inode, .device = device };
	struct stream stream = { .container = container, .inner = 1 };
	u64 id = bpf_get_current_pid_tgid();
	struct work work;

	if (fd != 1 && fd != 2)
		return 0;
	unit_work(id >> 32, id, bpf_ktime_get_boot_ns(), &work);
	if (!work.request)
		return 0;
	stream.kind = fd == 2 ? RT_STREAM_STDERR : RT_STREAM_STDOUT;
	return !bpf_map_update_elem(&rt_inner, &key, &stream, BPF_NOEXIST);
}

/* The call writes to `stream`; where stdout and stderr are one inode, the descriptor decides. */
static __always_inline void call_to_stream(struct inflight *call, const struct stream *stream,
					   u32 fd)
{
	call->container = stream->container;
	call->stream = stream->kind;
	call->inner = stream->inner;
	if (stream->kind == (RT_STREAM_STDOUT | RT_STREAM_STDERR))
		call->stream = fd == 2 ? RT_STREAM_STDERR : RT_STREAM_STDOUT;
}

static __always_inline void loss_add(u64 container, u32 reason, u64 bytes)
{
	struct loss_key key = { .container = container, .reason = reason };
	struct loss *loss = bpf_map_lookup_elem(&rt_loss, &key), none = {};

	if (!loss) {
		bpf_map_update_elem(&rt_loss, &key, &none, BPF_NOEXIST);
		loss = bpf_map_lookup_elem(&rt_loss, &key);
	}
	if (!loss)
		return;
	__sync_fetch_and_add(&loss->writes, 1);
	__sync_fetch_and_add(&loss->bytes, bytes);
}

/* Global, verified once and not at each call; and 5.10 lets those have numbers only. */
__weak int stream_lost(u64 inode, u32 device, u32 reason, u64 bytes)
{
	bool by_bytes = reason == RT_UNSEEN_BYTES || reason == RT_TRUNCATED_BYTES;
	struct stream_key key = { .inode = inode, .device = device };
	struct stream *stream = stream_find(&key);

	count_add(reason, by_bytes ? bytes : 1);
	if (!stream)
		return 0;
	stream->lost_reason = reason;
	__sync_fetch_and_add(&stream->lost_writes, 1);
	__sync_fetch_and_add(&stream->lost_bytes, bytes);
	loss_add(stream->container, reason, bytes);
	return 0;
}

/* Bytes of one write did not get out: counted by reason, with the stream and its container. */
static __always_inline void write_lost(const struct stream_key *key, u32 reason, u64 bytes)
{
	stream_lost(key->inode, key->device, reason, bytes);
}

static __always_inline void call_keep(u64 id, struct inflight *call)
{
	if (!bpf_map_update_elem(&rt_inflight, &id, call, BPF_ANY))
		return;
	if (call->op == INFLIGHT_WRITE)
		write_lost(&call->key, RT_LOST_INFLIGHT, 0);
	else
		count(RT_LOST_INFLIGHT);
}

static __always_inline void fragment_fill(struct event_fragment *f, const struct inflight *call,
					  u64 id, u32 len, u32 flags)
{
	event_begin(&f->head, RT_EVENT_FRAGMENT, call->container, call->time_ns);
	f->inode = call->key.inode;
	f->device = call->key.device;
	f->tgid = id >> 32;
	f->tid = id;
	f->write_bytes = call->bytes;
	f->request = call->request;
	f->lost_writes = call->lost_writes;
	f->lost_bytes = call->lost_bytes;
	f->lost_reason = call->lost_reason;
	f->chunk = call->chunk;
	f->stream = call->stream;
	f->unit = call->unit;
	f->flags = flags | call->doubt | (call->inner ? RT_FRAGMENT_ORIGIN : 0);
	f->reserved = 0;
	f->len = len;
	f->reserved2 = 0;
}

/* One record of a constant size class, as the verifier wants it. 0, or the counter of the loss. */
static __always_inline int fragment_class(const u32 class, const struct inflight *call, u64 id,
					  u64 address, u32 len, u32 flags)
{
	struct event_fragment *f = bpf_ringbuf_reserve(&rt_ring, sizeof(*f) + class, 0);

	if (!f)
		return RT_LOST_RING;
	fragment_fill(f, call, id, len, flags);
	barrier_var(len); /* or the compiler, which knows better, drops what the verifier wants */
	if (len > class)
		len = class;
	if (bpf_probe_read_user(f->data, len, (void *)address)) {
		bpf_ringbuf_discard(f, BPF_RB_NO_WAKEUP);
		return RT_LOST_FAULT;
	}
	ring_submit(f);
	return 0;
}

static __always_inline int fragment_small(const struct inflight *call, u64 id, u64 address, u32 len,
					  u32 flags)
{
	if (len <= RT_CLASS_0)
		return fragment_class(RT_CLASS_0, call, id, address, len, flags);
	if (len <= RT_CLASS_1)
		return fragment_class(RT_CLASS_1, call, id, address, len, flags);
	if (len <= RT_CLASS_2)
		return fragment_class(RT_CLASS_2, call, id, address, len, flags);
	return fragment_class(RT_CLASS_3, call, id, address, len, flags);
}

/*
 * One chunk of the current thread's write. A global function: verified once, not per chunk.
 * Returns 0, or the counter of the loss.
 */
__weak int fragment_emit(u64 address, u32 len, u32 flags)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = bpf_map_lookup_elem(&rt_inflight, &id);

	if (!call || len == 0 || len > RT_CHUNK_MAX)
		return RT_LOST_INFLIGHT;
	if (len <= RT_CLASS_3)
		return fragment_small(call, id, address, len, flags);
	return fragment_class(RT_CLASS_4, call, id, address, len, flags);
}

/*
 * What a container may log in this second, 0: all. The last quarter of the ring is shared out among
 * the containers that still log, so that one that floods cannot starve the others.
 */
static __always_inline u64 budget_limit(void)
{
	u64 size, share;

	if (!rt_by_cgroup)
		return rt_budget;
	size = bpf_ringbuf_query(&rt_ring, BPF_RB_RING_SIZE);
	if (bpf_ringbuf_query(&rt_ring, BPF_RB_AVAIL_DATA) <= size - size / 4)
		return rt_budget;
	share = size / 16;
	return rt_budget && rt_budget < share ? rt_budget : share;
}

/* The budget of a container, by seconds. True when `bytes` fit. */
static __always_inline bool budget_take(u64 id, u64 now, u32 bytes)
{
	u64 limit = budget_limit();
	struct container *container;

	if (!limit)
		return true;
	container = bpf_map_lookup_elem(&rt_container, &id);
	if (!container)
		return true;
	if (now - container->budget_ns >= 1000000000) {
		container->budget_ns = now;
		container->budget_bytes = 0;
	}
	__sync_fetch_and_add(&container->budget_bytes, bytes);
	return container->budget_bytes <= limit;
}

/*
 * One chunk of the current thread's write: 0 go on, -1 done, else the counter of the loss. Global:
 * see conn_word().
 */
__weak int write_step(void)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = bpf_map_lookup_elem(&rt_inflight, &id);
	struct segments *s;
	u32 flags = 0, len, loss;
	int step;

	if (!call)
		return -1;
	s = &call->memory;
	step = segments_step(s);
	if (step)
		return step < 0 ? -1 : 0;
	len = s->left < RT_CHUNK_MAX ? s->left : RT_CHUNK_MAX;
	if (len == s->total) {
		flags = RT_FRAGMENT_LAST;
		if (call->bytes > RT_WRITE_MAX)
			flags |= RT_FRAGMENT_TRUNCATED;
	}
	loss = fragment_emit(s->address, len, flags);
	if (loss)
		return loss;
	call->chunk++;
	segments_take(s, len);
	return 0;
}

/* Every chunk of the write; what is lost is counted. */
static __always_inline void write_chunks(struct inflight *call)
{
	struct segments *s = &call->memory;
	u32 total = call->bytes;
	int loss = 0;

	segments_begin(s, total < RT_WRITE_MAX ? total : RT_WRITE_MAX);
	for (int i = 0; i < WRITE_STEPS && !loss; i++)
		loss = write_step();
	if (loss > 0 || s->total)
		write_lost(&call->key, loss > 0 ? loss : RT_SEGMENTS, s->total);
	if (total > RT_WRITE_MAX)
		write_lost(&call->key, RT_TRUNCATED_BYTES, total - RT_WRITE_MAX);
}

/* The write returned `bytes` > 0. False: they are over the container's budget, and counted. */
static __always_inline bool write_begin(struct inflight *call, const struct stream *stream, u64 id,
					u32 bytes)
{
	struct work work;

	call->bytes = bytes;
	call->chunk = 0;
	call->time_ns = bpf_ktime_get_boot_ns();
	unit_work(id >> 32, id, call->time_ns, &work);
	handoff_doubt(id, &work);
	call->request = work.request;
	call->doubt = work.doubt;
	call->unit = work.kind;
	call->lost_writes = stream->lost_writes;
	call->lost_bytes = stream->lost_bytes;
	call->lost_reason = stream->lost_reason;
	count(call->inner ? RT_ORIGIN_WRITES : RT_WRITES);
	count_add(RT_WRITE_BYTES, bytes);
	if (budget_take(call->container, call->time_ns, bytes))
		return true;
	write_lost(&call->key, RT_LOST_BUDGET, bytes);
	return false;
}

/* The write returned `bytes` > 0. `call` is the thread's entry in rt_inflight. */
static __always_inline void write_done(struct inflight *call, u64 id, u32 bytes)
{
	struct stream *stream = stream_find(&call->key);

	if (stream && write_begin(call, stream, id, bytes))
		write_chunks(call);
}

/* The same for a call that is nowhere kept: only a write of several chunks has to be. */
static __always_inline void write_whole(struct inflight *call, const struct stream *stream, u64 id,
					u32 bytes)
{
	struct inflight *kept;
	int loss;

	if (!write_begin(call, stream, id, bytes))
		return;
	if (!call->memory.count && bytes <= RT_CLASS_3) {
		loss = fragment_small(call, id, call->memory.base, bytes, RT_FRAGMENT_LAST);
		if (loss)
			write_lost(&call->key, loss, bytes);
		return;
	}
	call_keep(id, call);
	kept = bpf_map_lookup_elem(&rt_inflight, &id);
	if (kept)
		write_chunks(kept);
	bpf_map_delete_elem(&rt_inflight, &id);
}

#endif
