/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * life: the begin and the end of a request, whatever protocol carries it.
 */
#ifndef REQTAP_LIFE_BPF_H
#define REQTAP_LIFE_BPF_H

#include "bpf/conn.bpf.h"
#include "bpf/handoff.bpf.h"

/* The request's response is complete, or never will be. */
static __always_inline void request_end(u64 seq, u32 state, u64 container)
{
	struct request *request = bpf_map_lookup_elem(&rt_request, &seq);
	u64 now = bpf_ktime_get_boot_ns(), id = bpf_get_current_pid_tgid();
	struct event_response *event;

	if (!request || request->state != RT_REQUEST_OPEN)
		return;
	request->end_ns = now;
	request->state = state;
	count(RT_RESPONSES);
	event = bpf_ringbuf_reserve(&rt_ring, sizeof(*event), 0);
	if (!event) {
		count(RT_LOST_EVENT);
		return;
	}
	event_begin(&event->head, RT_EVENT_RESPONSE, container, now);
	event->seq = seq;
	event->tgid = id >> 32;
	event->tid = id;
	event->state = state;
	event->reserved = 0;
	ring_submit(event);
}

static __always_inline void request_announce(const struct request *request, u64 now)
{
	struct event_request *event = bpf_ringbuf_reserve(&rt_ring, sizeof(*event), 0);

	if (!event) {
		count(RT_LOST_EVENT); /* the agent asks rt_request */
		return;
	}
	event_begin(&event->head, RT_EVENT_REQUEST, request->container, now);
	bpf_probe_read_kernel(&event->request, sizeof(event->request), request);
	ring_submit(event);
}

/* Fills conn->draft from what the head yielded; a stream's, the agent decodes. */
static __always_inline void request_draft(struct conn *conn, u64 now, u32 stream)
{
	struct request *r = &conn->draft;
	u64 id = bpf_get_current_pid_tgid();
	u32 len;

	r->seq = now;
	r->cookie = conn->cookie;
	r->container = conn->container;
	r->begin_ns = now;
	r->end_ns = 0;
	r->tgid = id >> 32;
	r->tid = id;
	r->state = RT_REQUEST_OPEN;
	r->id_len = stream ? 0 : http__id_len(&conn->in, &conn->found);
	r->stream = stream;
	r->followed = 0;
	r->has_traceparent = !stream && conn->found.traceparent_len == RT_TRACEPARENT_LEN;
	__builtin_memset(r->id, 0, sizeof(r->id));
	len = r->id_len;
	barrier_var(len); /* or the compiler proves the bound away before the verifier sees it */
	if (len <= RT_ID_MAX)
		bpf_probe_read_kernel(r->id, len, conn->found.id);
	__builtin_memcpy(r->traceparent, conn->found.traceparent, sizeof(r->traceparent));
	r->traceparent[RT_TRACEPARENT_LEN] = 0;
	if (!stream && conn->in.id_bad)
		count(RT_ID_TOO_LONG);
}

/*
 * Enters the request that the connection's head, or stream, begins. Its number is the time, pushed
 * on where two begin in one nanosecond; 0: the table is full.
 */
static __always_inline u64 request_new(struct conn *conn, u32 stream)
{
	struct request *r = &conn->draft;
	u64 now = bpf_ktime_get_boot_ns();
	long err = -1;

	request_draft(conn, now, stream);
	for (int i = 0; i < 4 && err; i++) {
		r->seq = now + i;
		u64 key = r->seq;
		err = bpf_map_update_elem(&rt_request, &key, r, BPF_NOEXIST);
	}
	if (err) {
		count(RT_REQUEST_FULL);
		return 0;
	}
	conn->previous = conn->last;
	conn->last = r->seq;
	conn->tgid = r->tgid;
	count(RT_REQUESTS);
	if (!r->id_len && !stream)
		count(RT_REQUESTS_WITHOUT_ID);
	return r->seq;
}

#endif
