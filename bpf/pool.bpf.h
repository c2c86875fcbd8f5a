/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * pool: a process some of whose threads read for others, and the requests that it may have dropped.
 *
 * Who works on a request whose client has left may end without a word, and go on to the next one
 * in the queue: then the lines of both come before one response. Queues are first in, first out:
 * a dropped request was taken before the job began if a later one was answered before that, and is
 * still to come if it was read after the request that is answered now.
 */
#ifndef REQTAP_POOL_BPF_H
#define REQTAP_POOL_BPF_H

#include "bpf/maps.bpf.h"

#define POOL_LOST 32 /* a power of two; one more takes the place of the one read first */

struct lost {
	u64 request;
	u64 read_ns; /* 0: none */
};

struct pool {
	u64 blurred_ns;  /* last response that a thread wrote for another's work: whose is not known
			  */
	u64 answered_ns; /* when the newest request that a worker answered was read */
	struct lost lost[POOL_LOST]; /* unanswered, the client has left */
	u64 forgotten_ns;            /* of those that had no room, the one read last */
	u32 first;                   /* of `lost`, as last looked for */
	u32 hands_over;              /* seen to, not only an event loop that reads */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct pool);
} rt_pool __weak SEC(".maps");

/* Not on the stack, which callers and callees share: 512 bytes (kernels before 6.13). */
static const struct pool pool_none;

static __always_inline struct pool *pool_get(u32 tgid)
{
	struct pool *pool = bpf_map_lookup_elem(&rt_pool, &tgid);

	if (pool)
		return pool;
	bpf_map_update_elem(&rt_pool, &tgid, &pool_none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&rt_pool, &tgid);
}

/* The client leaves while a request of the connection is unanswered. */
static __always_inline void pool_loses(struct conn *conn)
{
	u32 tgid = conn->tgid;
	struct pool *pool = bpf_map_lookup_elem(&rt_pool, &tgid);
	volatile u32 *first; /* in a register the verifier would follow each value of it */
	struct lost *lost;

	if (!pool || !conn->pending_count || conn->left)
		return;
	conn->left = 1;
	first = &pool->first;
	for (u32 i = 0; i < POOL_LOST; i++)
		if (pool->lost[i].read_ns < pool->lost[*first & (POOL_LOST - 1)].read_ns)
			*first = i;
	lost = &pool->lost[*first & (POOL_LOST - 1)];
	if (lost->read_ns > pool->forgotten_ns)
		pool->forgotten_ns = lost->read_ns;
	lost->read_ns = conn->read_ns;
	lost->request = conn->last;
}

/* It is answered all the same, or tried to. */
static __always_inline void pool_finds(u32 tgid, u64 request)
{
	struct pool *pool = bpf_map_lookup_elem(&rt_pool, &tgid);

	for (u32 i = 0; pool && i < POOL_LOST; i++)
		if (pool->lost[i].request == request)
			pool->lost[i].read_ns = 0;
}

/* May one that was read after `floor_ns` and until `ceiling_ns` have been dropped? */
static __always_inline bool pool_lost(const struct pool *pool, u64 floor_ns, u64 ceiling_ns)
{
	for (u32 i = 0; i < POOL_LOST; i++)
		if (pool->lost[i].read_ns > floor_ns && pool->lost[i].read_ns <= ceiling_ns)
			return true;
	return pool->forgotten_ns > floor_ns;
}

#endif
