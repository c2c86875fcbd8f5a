/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * http2: the streams of accepted HTTP/2 connections. A request begins when the header block of a
 * new stream is complete, and gets its number there; its id is known when the agent has decoded
 * the block (agent/http2.h), which goes into the ring before any line that the request's code can
 * write. It ends with the last frame of its response, trailers included, with a reset, or with the
 * connection. DATA is passed over, not read.
 */
#ifndef REQTAP_HTTP2_BPF_H
#define REQTAP_HTTP2_BPF_H

#include "bpf/life.bpf.h"

#define HTTP2_PROBES 8 /* places that a stream may have, beginning with its own */

/* A value to begin with; a stack is too small for it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct http2_streams);
} rt_h2_zero __weak SEC(".maps");

static __always_inline struct http2 *conn_http2(struct conn *conn, u32 sent)
{
	return sent ? &conn->out2 : &conn->in2;
}

/* The direction is at the start of a frame, if this is HTTP/2 at all. */
static __always_inline void http2_join(struct conn *conn, u32 sent, bool strict)
{
	struct http *h = sent ? &conn->out : &conn->in;

	h->state = HTTP_TWO;
	http2__begin(conn_http2(conn, sent), false, strict);
}

/* What came before the attach is not known: a call may begin with a frame, the next one too. */
static __always_inline void http2_rejoin(struct conn *conn, u32 sent)
{
	struct http *h = sent ? &conn->out : &conn->in;

	if (h->state == HTTP_OTHER ||
	    (h->state == HTTP_TWO && conn_http2(conn, sent)->state == HTTP2_LOST))
		http2_join(conn, sent, true);
}

static __always_inline void http2_lose(struct conn *conn, u32 sent)
{
	struct http2 *h = conn_http2(conn, sent);

	h->state = HTTP2_LOST;
	if (!h->strict)
		count(RT_HTTP2_LOST);
}

static __always_inline struct http2_streams *http2_streams_get(u64 sk)
{
	struct http2_streams *streams = bpf_map_lookup_elem(&rt_h2_stream, &sk);
	u32 zero = 0;

	if (streams)
		return streams;
	streams = bpf_map_lookup_elem(&rt_h2_zero, &zero);
	if (!streams || bpf_map_update_elem(&rt_h2_stream, &sk, streams, BPF_NOEXIST))
		return 0;
	return bpf_map_lookup_elem(&rt_h2_stream, &sk);
}

/* The place of the stream; HTTP2_STREAMS: it has none. */
static __always_inline u32 http2_slot(const struct http2_streams *streams, u32 stream)
{
	for (u32 i = 0; i < HTTP2_PROBES; i++) {
		u32 slot = ((stream >> 1) + i) & (HTTP2_STREAMS - 1);

		if (streams->id[slot] == stream)
			return slot;
	}
	return HTTP2_STREAMS;
}

/* One for a new stream: a place is kept by one that has ended until it is wanted. */
static __always_inline u32 http2_slot_new(const struct http2_streams *streams, u32 stream)
{
	for (u32 i = 0; i < HTTP2_PROBES; i++) {
		u32 slot = ((stream >> 1) + i) & (HTTP2_STREAMS - 1);

		if (!streams->id[slot] || !request_open(streams->seq[slot]))
			return slot;
	}
	return HTTP2_STREAMS;
}

/*
 * The request of a stream; 0: none. One that was reset, or answered, before anybody worked on it is
 * known as long as its place is not taken: by the 249th stream after it at the earliest.
 */
static __always_inline u64 http2_request(u64 sk, u32 stream)
{
	struct http2_streams *streams = bpf_map_lookup_elem(&rt_h2_stream, &sk);
	u32 slot = streams ? http2_slot(streams, stream) : HTTP2_STREAMS;

	return streams && slot < HTTP2_STREAMS ? streams->seq[slot] : 0;
}

/* The stream's response is complete, or never will be. Global: called from a loop. */
__weak int http2_stream_end(u64 sk, u32 stream, u32 state)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);
	struct http2_streams *streams = bpf_map_lookup_elem(&rt_h2_stream, &sk);
	u32 slot;

	if (!conn || !streams)
		return 0;
	slot = http2_slot(streams, stream);
	if (slot >= HTTP2_STREAMS || !request_open(streams->seq[slot]))
		return 0;
	request_end(streams->seq[slot], state, conn->container);
	__sync_fetch_and_add(&conn->streams, -1);
	return 0;
}

/* Those beyond stream `last` end without an answer. */
__weak int http2_abandon(u64 sk, u32 last)
{
	struct http2_streams *streams = bpf_map_lookup_elem(&rt_h2_stream, &sk);

	if (!streams)
		return 0;
	for (u32 i = 0; i < HTTP2_STREAMS; i++) {
		u32 id = streams->id[i];

		if (id > last)
			http2_stream_end(sk, id, RT_REQUEST_ABORTED);
	}
	return 0;
}

/* The block of stream `stream` is about to be complete: the request that it begins, or none. */
__weak int http2_stream_begin(u64 sk, u32 stream)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);
	struct http2_streams *streams;
	u32 slot;
	u64 seq;

	/* trailers come on a stream that has been; a client's streams are odd and only grow */
	if (!conn || !(stream & 1) || stream <= conn->last_stream)
		return 0;
	conn->last_stream = stream;
	streams = http2_streams_get(sk);
	slot = streams ? http2_slot_new(streams, stream) : HTTP2_STREAMS;
	if (!streams || slot >= HTTP2_STREAMS) {
		count(RT_HTTP2_FULL);
		return 0;
	}
	seq = request_new(conn, stream);
	if (!seq)
		return 0;
	streams->seq[slot] = seq;
	streams->id[slot] = stream;
	__sync_fetch_and_add(&conn->streams, 1);
	conn->block_request = seq;
	handoff_meets(conn->streams > 1 ? 0 : seq, HANDOFF_READS | HANDOFF_STREAM);
	return 0;
}

/* One record of a constant size class: a piece of a header block. */
static __always_inline void http2_ship_class(const u32 class, struct conn *conn, u64 sk,
					     u64 address, u32 len, u32 closed)
{
	struct event_headers *event = bpf_ringbuf_reserve(&rt_ring, sizeof(*event) + class, 0);
	u64 id = bpf_get_current_pid_tgid();
	struct http2 *h = &conn->in2;

	if (!event) {
		count(RT_LOST_EVENT);
		return;
	}
	event_begin(&event->head, RT_EVENT_HEADERS, conn->container,
		    conn->block_request ? conn->block_request : bpf_ktime_get_boot_ns());
	event->conn = sk;
	event->cookie = conn->cookie;
	event->seq = conn->block_request;
	event->number = conn->pieces;
	event->tgid = id >> 32;
	event->tid = id;
	event->stream = h->block;
	event->frame_bytes = h->length;
	event->offset = h->length - h->left;
	event->len = len;
	event->type = h->type;
	event->flags = h->flags;
	event->joined = conn->joined;
	event->closed = closed;
	event->reserved = 0;
	barrier_var(len); /* see fragment_class() */
	if (len > class)
		len = class;
	if (len && bpf_probe_read_user(event->data, len, (void *)address)) {
		count(RT_HEADER_FAULT);
		bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
		return;
	}
	ring_submit(event);
}

/* `len` bytes of the payload at `address`; numbered even when lost, so that the loss is seen. */
__weak int http2_ship(u64 sk, u64 address, u32 len, u32 closed)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);

	if (!conn || len > RT_CLASS_3)
		return 0;
	if (len <= RT_CLASS_0)
		http2_ship_class(RT_CLASS_0, conn, sk, address, len, closed);
	else if (len <= RT_CLASS_2)
		http2_ship_class(RT_CLASS_2, conn, sk, address, len, closed);
	else
		http2_ship_class(RT_CLASS_3, conn, sk, address, len, closed);
	conn->pieces++;
	return 0;
}

/* `n` bytes of a header block's frame, the last ones of the block perhaps. */
static __always_inline void http2_block_piece(struct conn *conn, u64 sk, u64 address, u32 n)
{
	struct http2 *h = &conn->in2;
	bool last = n == h->left && (h->flags & HTTP2_END_HEADERS);

	if (!n && h->length)
		return;
	conn->block_request = 0;
	if (last)
		http2_stream_begin(sk, h->block);
	if (!http2__floods(h)) {
		http2_ship(sk, address, n, 0);
		return;
	}
	/* the agent finds it missing, and does not trust the connection's table any more */
	conn->pieces++;
	if (!last)
		return;
	count(RT_HTTP2_FLOOD);
	http2_ship(sk, address, 0, 0); /* the request has no id, and is known to have none */
}

static __always_inline void http2_frame_met(u64 sk, u32 met, u32 stream, u32 sent)
{
	struct conn *conn;

	if (sent && (met & HTTP2_MET_END))
		http2_stream_end(sk, stream, RT_REQUEST_ANSWERED);
	if (sent && (met & HTTP2_MET_GOAWAY))
		http2_abandon(sk, stream);
	if (!(met & HTTP2_MET_RESET))
		return;
	http2_stream_end(sk, stream, RT_REQUEST_ABORTED);
	conn = sent ? 0 : bpf_map_lookup_elem(&rt_conn, &sk);
	if (conn)
		conn->blurred_ns = bpf_ktime_get_boot_ns();
}

/* Bytes of the preface or of a frame's head; returns how many were taken, -1: not readable. */
static __always_inline int http2_head(struct http2 *h, u64 address, u32 len)
{
	u8 head[16] = {};
	u32 i = 0;

	if (len > sizeof(head))
		len = sizeof(head);
	if (bpf_probe_read_user(head, len, (void *)address))
		return -1;
	for (; i < sizeof(head) && i < len && !http2__skips(h); i++)
		http2__byte(h, head[i]);
	return i;
}

/* The same, on the connection. Global: verified once, and its stack is its own. */
__weak int http2_heads(u64 sk, u64 address, u32 len, u32 sent)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);
	int taken;

	if (!conn || !len)
		return -1;
	taken = http2_head(conn_http2(conn, sent), address, len);
	if (taken < 0)
		count(RT_HEADER_FAULT);
	if (taken < 0 || conn_http2(conn, sent)->state == HTTP2_LOST)
		http2_lose(conn, sent);
	return taken;
}

/*
 * Follows up to `len` user bytes: the rest of a frame's head, and what is there of its payload.
 * Returns how many were taken, or -1. Global: see conn_word().
 */
__weak int http2_scan(u64 sk, u64 address, u32 len, u32 sent)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);
	u32 taken = 0, stream = 0, met;
	struct http2 *h;

	if (!conn || !len || len > 0x7fffffff)
		return -1;
	h = conn_http2(conn, sent);
	if (!http2__skips(h)) {
		taken = http2_heads(sk, address, len, sent);
		if (taken > len)
			return -1;
	}
	if (!http2__skips(h))
		return taken;
	if (h->state == HTTP2_LOST)
		return len;
	len -= taken;
	if (len > h->left)
		len = h->left;
	if (!sent && http2__in_block(h)) {
		if (len > RT_CLASS_3)
			len = RT_CLASS_3;
		http2_block_piece(conn, sk, address + taken, len);
	}
	met = http2__skip(h, len, &stream);
	if (met)
		http2_frame_met(sk, met, stream, sent);
	return taken + len;
}

/* A file's bytes, which nobody reads here, are of a frame's payload or lose the connection. */
static __always_inline void http2_sent_file(struct conn *conn, u64 sk, u64 bytes)
{
	struct http2 *h = &conn->out2;
	u32 stream = 0, met;

	if (h->state != HTTP2_PAYLOAD || bytes > h->left) {
		http2_lose(conn, true);
		return;
	}
	met = http2__skip(h, bytes, &stream);
	if (met)
		http2_frame_met(sk, met, stream, true);
}

/* The connection is gone: so are its streams, and its table in the agent. */
__weak int http2_close(u64 sk)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);

	if (!conn || conn->in.state != HTTP_TWO)
		return 0;
	http2_abandon(sk, 0);
	bpf_map_delete_elem(&rt_h2_stream, &sk);
	conn->block_request = 0;
	conn->in2.block = conn->in2.length = conn->in2.left = 0;
	http2_ship(sk, 0, 0, 1);
	return 0;
}

#endif
