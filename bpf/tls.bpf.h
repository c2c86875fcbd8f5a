/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tls: what a TLS library takes and returns goes through the same machine as a socket's bytes. The
 * connection is the library's object, which says itself whether it is the server's side.
 */
#ifndef REQTAP_TLS_BPF_H
#define REQTAP_TLS_BPF_H

#include "bpf/request.bpf.h"

/* A call of the library between its entry and its return. */
struct tls_call {
	u64 object;
	u64 buffer;
	u64 done; /* of OpenSSL's _ex functions: where the byte count is stored; else 0 */
};

/*
 * The object's key in rt_conn, among the kernel's socket addresses, whose upper bits are all ones.
 * Two objects with one key are told apart by tls_conn().
 */
static __always_inline u64 tls_key(u32 tgid, u64 object)
{
	return ((u64)tgid << 40 ^ object) & ~(1ULL << 63);
}

static __always_inline struct conn *tls_conn(u32 tgid, u64 object)
{
	u64 key = tls_key(tgid, object);
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &key);

	return conn && conn->cookie == object && conn->tgid == tgid ? conn : 0;
}

static __always_inline void tls_end(u32 tgid, u64 object)
{
	u64 key = tls_key(tgid, object);
	struct conn *conn = tls_conn(tgid, object);

	if (!conn)
		return;
	if (conn->out.state == HTTP_UNTIL_CLOSE)
		conn_answered(conn, RT_REQUEST_ANSWERED);
	conn_end_all(conn, RT_REQUEST_ABORTED);
	http2_close(key);
	bpf_map_delete_elem(&rt_conn, &key);
}

/* The object is the server's side of a new connection. */
static __always_inline void tls_begin(u32 tgid, u64 object)
{
	u64 container = container_current(tgid);
	struct conn *conn;

	if (!container)
		return;
	conn = conn_begin((void *)tls_key(tgid, object), object, CONN_IN, container);
	if (conn)
		conn->tgid = tgid;
}

/* The call moved `bytes`, at least one. */
static __always_inline void tls_moved(u64 id, const struct tls_call *call, u64 bytes, bool sent)
{
	struct inflight moved = { .op = sent ? INFLIGHT_SEND : INFLIGHT_RECEIVE }, *kept;

	moved.sk = tls_key(id >> 32, call->object);
	moved.memory.base = call->buffer;
	if (bytes > 0x7fffffff || bpf_map_update_elem(&rt_inflight, &id, &moved, BPF_ANY))
		return;
	/* in user space the thread is in no system call: the entry is free */
	kept = bpf_map_lookup_elem(&rt_inflight, &id);
	if (kept)
		conn_bytes(kept, bytes, sent);
	bpf_map_delete_elem(&rt_inflight, &id);
}

#endif
