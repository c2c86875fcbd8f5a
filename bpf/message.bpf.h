/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * message: the requests and responses of a connection that come one after the other, by HTTP/1 or
 * FastCGI: a response is the oldest unanswered request's.
 */
#ifndef REQTAP_MESSAGE_BPF_H
#define REQTAP_MESSAGE_BPF_H

#include "bpf/handoff.bpf.h"
#include "bpf/life.bpf.h"

#define SCAN_STEPS 2048 /* a call's heads beyond 64 KiB are not followed */

/* The oldest unanswered request of the connection is answered. */
static __always_inline void conn_answered(struct conn *conn, u32 state)
{
	u64 seq;

	if (!conn->pending_count)
		return;
	seq = conn->pending[conn->pending_head & (CONN_PENDING - 1)];
	conn->pending_head++;
	conn->pending_count--;
	request_end(seq, state, conn->container);
}

/* The connection is gone, or its responses cannot be followed. */
static __always_inline void conn_end_all(struct conn *conn, u32 state)
{
	if (state == RT_REQUEST_ABORTED)
		pool_loses(conn);
	for (int i = 0; i < CONN_PENDING; i++)
		conn_answered(conn, state);
}

/*
 * The client has reset the connection. What had arrived can still be read, so that the entry
 * stays: of a socket that is closed the kernel no longer says that it was accepted.
 */
static __always_inline void conn_reset(struct conn *conn)
{
	conn->reset = 1;
	if (conn->pending_count)
		conn->vain = conn->pending[conn->pending_head & (CONN_PENDING - 1)];
	conn_end_all(conn, RT_REQUEST_ABORTED);
}

/* Pipelining: the requests that are not answered yet have another one behind them. */
static __always_inline void conn_follow(struct conn *conn)
{
	for (u32 i = 0; i < CONN_PENDING; i++) {
		u64 seq = conn->pending[i];
		struct request *request = bpf_map_lookup_elem(&rt_request, &seq);

		if (request && request->state == RT_REQUEST_OPEN)
			request->followed = 1;
	}
}

/* A request's head is complete: a new request, with or without an id; 0: the table is full. */
static __always_inline u64 request_enter(struct conn *conn)
{
	u64 seq = request_new(conn, 0);
	u32 slot = (conn->pending_head + conn->pending_count) & (CONN_PENDING - 1);

	if (!seq)
		return 0;
	conn->pending[slot] = seq;
	conn->pending_is_head[slot] = conn->in.method_head;
	conn->pending_count++;
	conn->read_ns = conn->draft.begin_ns;
	conn->left = 0;
	request_announce(&conn->draft, seq);
	return seq;
}

/* The same, read by the current thread, who is its owner. */
static __always_inline void request_begin(struct conn *conn)
{
	u64 seq;

	if (conn->out.state >= HTTP_OTHER || conn->pending_count >= CONN_PENDING)
		conn_end_all(conn, RT_REQUEST_ANSWERED);
	if (conn->pending_count)
		conn_follow(conn);
	seq = request_enter(conn);
	/* pipelined behind an unanswered one: which of the two is worked on cannot be told; without
	 * a number: it is not the former request's either */
	handoff_meets(conn->pending_count > 1 ? 0 : seq, HANDOFF_READS);
	if (conn->reset)
		conn_reset(conn);
}

/* A complete message: the machine is between messages again. */
static __always_inline void conn_message_end(struct conn *conn, bool sent)
{
	if (sent) {
		conn_answered(conn, RT_REQUEST_ANSWERED);
		http__begin(&conn->out, &conn->unused);
	} else {
		conn->read_ns = bpf_ktime_get_boot_ns();
		if (conn->pending_count)
			handoff_meets(conn->pending[(conn->pending_head + conn->pending_count - 1) &
						    (CONN_PENDING - 1)],
				      HANDOFF_READ_END);
		http__begin(&conn->in, &conn->found);
	}
}

/* The head of a response has been sent: the oldest unanswered request's. */
static __always_inline void conn_answers(struct conn *conn)
{
	if (conn->pending_count)
		handoff_meets(conn->pending[conn->pending_head & (CONN_PENDING - 1)],
			      HANDOFF_ANSWERS);
}

#endif
