/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * object: connections that are not the kernel's but a library's: the object of a TLS connection, or
 * of a call. The library itself says whether it is the server's side.
 */
#ifndef REQTAP_OBJECT_BPF_H
#define REQTAP_OBJECT_BPF_H

#include "bpf/request.bpf.h"

/*
 * The object's key in rt_conn, among the kernel's socket addresses, whose upper bits are all ones.
 * Two objects with one key are told apart by object_conn().
 */
static __always_inline u64 object_key(u32 tgid, u64 object)
{
	return ((u64)tgid << 40 ^ object) & ~(1ULL << 63);
}

static __always_inline struct conn *object_conn(u32 tgid, u64 object)
{
	u64 key = object_key(tgid, object);
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &key);

	return conn && conn->cookie == object && conn->tgid == tgid ? conn : 0;
}

static __always_inline void object_end(u32 tgid, u64 object)
{
	u64 key = object_key(tgid, object);
	struct conn *conn = object_conn(tgid, object);

	if (!conn)
		return;
	if (conn->out.state == HTTP_UNTIL_CLOSE)
		conn_answered(conn, RT_REQUEST_ANSWERED);
	conn_end_all(conn, RT_REQUEST_ABORTED);
	http2_close(key);
	bpf_map_delete_elem(&rt_conn, &key);
}

/* The object is the server's side of a new connection. */
static __always_inline void object_begin(u32 tgid, u64 object)
{
	u64 container = container_current(tgid);
	struct conn *conn;

	if (!container)
		return;
	conn = conn_begin((void *)object_key(tgid, object), object, CONN_IN, container);
	if (conn)
		conn->tgid = tgid;
}

#endif
