/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * request: what the bytes of an accepted connection say. Received bytes begin requests, sent
 * bytes complete their responses; both through the machine of bpf/http.h, or that of another
 * protocol.
 */
#ifndef REQTAP_REQUEST_BPF_H
#define REQTAP_REQUEST_BPF_H

#include "bpf/fastcgi.bpf.h"
#include "bpf/http2.bpf.h"
#include "bpf/message.bpf.h"
#include "bpf/segment.bpf.h"
#include "bpf/unit.bpf.h"

#define CONN_TWO (-2)     /* of conn_scan(): it is HTTP/2 */
#define CONN_FASTCGI (-3) /* likewise */
#define EPIPE 32
#define ECONNRESET 104

static __always_inline void conn_head(struct conn *conn, u64 sk, bool sent)
{
	struct http *h = sent ? &conn->out : &conn->in;

	if (!sent)
		request_begin(conn);
	else
		handoff_meets(0, HANDOFF_SENDS);
	if (sent && h->status >= 100 && h->status < 200 && h->status != 101)
		http__begin(h, &conn->unused); /* interim (RFC 9110, 15.2): the response follows */
	else if (sent)
		conn_answers(conn);
	if (h->state == HTTP_BODY && h->body_left == 0)
		conn_message_end(conn, sent);
}

/* Bytes of the body, and of what is not HTTP, are counted, not read. */
static __always_inline int conn_skip(struct conn *conn, bool sent, u64 len)
{
	struct http *h = sent ? &conn->out : &conn->in;
	u64 taken = 0;

	if (http__skip(h, len, &taken) == HTTP_END)
		conn_message_end(conn, sent);
	return taken > 0x7fffffff ? 0x7fffffff : taken;
}

/* The answer to HEAD has no body: the machine must know before the head ends. */
static __always_inline void conn_response_start(struct conn *conn)
{
	if (conn->out.state == HTTP_START)
		conn->out.no_body = conn->pending_count &&
				    conn->pending_is_head[conn->pending_head & (CONN_PENDING - 1)];
}

/*
 * Up to eight bytes of a direction through the machine, the first lowest; returns how many it
 * took. Global, so that its paths are walked once: 5.10 and 6.1 give up on them in a loop.
 */
__weak int conn_word(u64 sk, u64 bytes, u32 len, u32 sent)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);
	struct http_found *found;
	struct http *h;
	enum http_event event;
	u32 taken;

	if (!conn)
		return 0;
	h = sent ? &conn->out : &conn->in;
	found = sent ? &conn->unused : &conn->found;
	if (sent)
		conn_response_start(conn);
	taken = http__word(h, found, bytes, len, &rt_headers, &event);
	if (h->state == HTTP_TWO)
		http2__begin(conn_http2(conn, sent), true, false);
	if (event == HTTP_HEAD)
		conn_head(conn, sk, sent);
	else if (event == HTTP_END)
		conn_message_end(conn, sent);
	return taken;
}

/*
 * Follows up to `len` user bytes of one direction. Returns how many were taken, at least one; or
 * -1 when they cannot be read.
 */
__weak int conn_scan(u64 sk, u64 address, u32 len, u32 sent)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);
	u64 *block;
	struct http *h;
	u32 taken = 0;

	if (!conn || !len)
		return -1;
	block = conn->block[sent ? 1 : 0];
	h = sent ? &conn->out : &conn->in;
	if (h->state == HTTP_TWO)
		return CONN_TWO;
	if (conn->fastcgi_in.state)
		return CONN_FASTCGI;
	if (http__skips(h))
		return conn_skip(conn, sent, len);
	if (len > SCAN_BLOCK)
		len = SCAN_BLOCK;
	if (bpf_probe_read_user(block, len, (void *)address)) {
		h->state = HTTP_OTHER;
		count(RT_HEADER_FAULT);
		return -1;
	}
	/* no method and no "HTTP/" begins with 0; the length of a server's first frame does */
	if (h->state == HTTP_START && !(block[0] & 0xff) && (sent || conn->joined)) {
		http2_join(conn, sent, conn->joined);
		return CONN_TWO;
	}
	if (h->state == HTTP_START && !sent && (block[0] & 0xff) == FASTCGI_VERSION) {
		fastcgi_start(conn);
		return CONN_FASTCGI;
	}
	for (u32 i = 0; i < SCAN_BLOCK / 8 && taken < len; i++) {
		u32 took = 8;

		if (len - taken < 8 || !http__passes(h, block[i]))
			took = conn_word(sk, block[i], len - taken, sent);
		taken += took;
		if (took < 8)
			break;
	}
	return taken;
}

/* Streams that bpf/unit_grpc.bpf.c knows better: as calls. */
static __always_inline bool grpc_serves(void)
{
	struct runtime *grpc = runtime_get(bpf_get_current_pid_tgid() >> 32, RT_RUNTIME_GRPC);

	return grpc && grpc->offset[RT_GRPC_SERVES];
}

/* The others not from within conn_scan(), whose stack they do not need: see handoff_follow(). */
static __always_inline int conn_next(u64 sk, u64 address, u32 len, u32 sent)
{
	int taken = conn_scan(sk, address, len, sent);

	if (taken == CONN_TWO)
		return grpc_serves() ? len : http2_scan(sk, address, len, sent);
	return taken == CONN_FASTCGI ? fastcgi_scan(sk, address, len, sent) : taken;
}

/* Global: of three ways a step, a loop of them has too many for the verifier. */
__weak int conn_take(u64 sk, u64 address, u32 len, u32 sent)
{
	return conn_next(sk, address, len, sent);
}

/* One step over what the thread's call moved: 0 go on, -1 done. Global: see conn_word(). */
__weak int conn_step(u32 sent)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = bpf_map_lookup_elem(&rt_inflight, &id);
	int step, taken;

	if (!call)
		return -1;
	step = segments_step(&call->memory);
	if (step)
		return step < 0 ? -1 : 0;
	taken = conn_next(call->sk, call->memory.address, call->memory.left, sent);
	if (taken <= 0)
		return -1;
	segments_take(&call->memory, taken);
	return 0;
}

/* Not followed to its end: what comes next is not known to be a head. */
static __always_inline void conn_lose(u64 sk, bool sent)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);

	if (!conn)
		return;
	struct http *h = sent ? &conn->out : &conn->in;

	if (h->state == HTTP_TWO)
		http2_lose(conn, sent);
	else if (conn->fastcgi_in.state)
		conn_fastcgi(conn, sent)->state = FASTCGI_LOST;
	else
		h->state = HTTP_OTHER;
}

/* A call begins: its thread has a job, and where a connection's place was not known, it may be. */
__weak int conn_call(u64 sk, u32 sent)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);

	job_get(bpf_get_current_pid_tgid());
	if (conn && conn->joined)
		http2_rejoin(conn, sent);
	return 0;
}

/* All that the call moved, `total` bytes of call->memory on call->sk. */
static __always_inline void conn_bytes(struct inflight *call, u32 total, bool sent)
{
	struct segments *s = &call->memory;

	conn_call(call->sk, sent);
	segments_begin(s, total);
	for (int i = 0; i < SCAN_STEPS; i++)
		if (conn_step(sent))
			break;
	handoff_follow(call->sk);
	if (s->total)
		conn_lose(call->sk, sent);
}

/* The same for a call that is nowhere kept: a plain buffer needs not be. */
static __always_inline void conn_moved(struct inflight *call, u64 id, u32 total, bool sent)
{
	u64 address = call->memory.base, sk = call->sk;
	u32 left = total;
	struct inflight *kept;

	if (call->memory.count) {
		if (bpf_map_update_elem(&rt_inflight, &id, call, BPF_ANY))
			count(RT_LOST_INFLIGHT);
		kept = bpf_map_lookup_elem(&rt_inflight, &id);
		if (kept)
			conn_bytes(kept, total, sent);
		bpf_map_delete_elem(&rt_inflight, &id);
		return;
	}
	conn_call(sk, sent);
	for (int i = 0; i < SCAN_STEPS && left; i++) {
		u32 taken = conn_take(sk, address, left, sent);

		if (!taken || taken > left) /* or negative */
			break;
		address += taken;
		left -= taken;
	}
	handoff_follow(sk);
	if (left)
		conn_lose(sk, sent);
}

/* A file's bytes went to a connection: they count for its response, though nobody reads them. */
static __always_inline void sent_file(u64 sk, u64 bytes)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);

	if (!conn)
		return;
	if (conn->out.state == HTTP_TWO)
		http2_sent_file(conn, sk, bytes);
	else if (http__skips(&conn->out))
		conn_skip(conn, true, bytes);
	else
		conn->out.state = HTTP_OTHER;
}

/* The current thread has accepted the connection of `sk`, or connects it. */
static __always_inline void conn_starts(struct sock *sk, u64 cookie, u8 direction, u64 container)
{
	struct conn *conn = conn_begin(sk, cookie, direction, container);

	if (direction != CONN_IN)
		return;
	/* reset while it waited to be accepted: rt_sock_state() had no entry to mark */
	if (conn && !sock_is_unix(sk) && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE)
		conn->reset = 1;
	python_accepted(bpf_get_current_pid_tgid(), (u64)sk, cookie);
	handoff_accepts(bpf_get_current_pid_tgid());
}

static __always_inline void received_end(u64 sk)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);

	/* A unix socket has no state tracepoint: its peer's close is seen here. */
	if (conn && conn->in.state == HTTP_START)
		conn->in.state = HTTP_OTHER;
	if (conn && conn->in.state == HTTP_TWO && sk >> 63 && sock_is_unix((void *)sk))
		http2_close(sk);
	if (conn)
		pool_loses(conn);
}

/* An answer to who has reset the connection: nothing is sent, but it shows who worked on it. */
static __always_inline void sent_in_vain(u64 sk, u64 cookie)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);

	if (!conn || conn->cookie != cookie || !conn->vain)
		return;
	job_get(bpf_get_current_pid_tgid());
	handoff_meets(conn->vain, HANDOFF_ANSWERS);
	conn->vain = 0;
	handoff_follow(sk);
}

#endif
