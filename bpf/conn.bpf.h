/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * conn: stream sockets and their direction. Only an accepted connection carries requests; what
 * comes on an outbound one is somebody else's, whatever its bytes.
 */
#ifndef REQTAP_CONN_BPF_H
#define REQTAP_CONN_BPF_H

#include "bpf/ring.bpf.h"
#include "bpf/task.bpf.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10

/* include/net/tcp_states.h */
enum {
	TCP_ESTABLISHED = 1,
	TCP_FIN_WAIT1 = 4,
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10
};

static __always_inline struct listen_key sock_listen_key(struct sock *sk)
{
	struct listen_key key = {
		.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum),
		.port = BPF_CORE_READ(sk, __sk_common.skc_num),
	};

	return key;
}

static __always_inline bool sock_is_unix(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX;
}

/* A connection that was there before the attach: accepted ones have the listener's address. */
static __always_inline u8 sock_direction(struct sock *sk)
{
	u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (family == AF_UNIX)
		return BPF_CORE_READ((struct unix_sock *)sk, addr) ? CONN_IN : CONN_OUT;
	struct listen_key key = sock_listen_key(sk);

	return bpf_map_lookup_elem(&rt_listen, &key) ? CONN_IN : CONN_OUT;
}

/* A value to begin a connection with; a stack is too small for it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct conn);
} rt_conn_zero __weak SEC(".maps");

/* Begins (or begins anew) the connection; NULL when the table refuses. */
static __always_inline struct conn *conn_begin(struct sock *sk, u64 cookie, u8 direction,
					       u64 container)
{
	u64 key = (u64)sk;
	u32 zero = 0;
	struct conn *conn = bpf_map_lookup_elem(&rt_conn_zero, &zero);

	if (bpf_map_lookup_elem(&rt_h2_stream, &key)) /* of one whose end was not seen */
		bpf_map_delete_elem(&rt_h2_stream, &key);
	if (!conn || bpf_map_update_elem(&rt_conn, &key, conn, BPF_ANY)) {
		count(RT_CONN_FULL);
		return 0;
	}
	conn = bpf_map_lookup_elem(&rt_conn, &key);
	if (!conn)
		return 0;
	conn->cookie = cookie;
	conn->container = container;
	conn->direction = direction;
	conn->out.response = 1;
	http__begin(&conn->in, &conn->found);
	http__begin(&conn->out, &conn->unused);
	return conn;
}

/* The connection of `sk`; `cookie` (its inode) tells an address used again. */
static __always_inline struct conn *conn_get(struct sock *sk, u64 cookie, u64 container)
{
	u64 key = (u64)sk;
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &key);

	if (conn && conn->cookie == cookie)
		return conn;
	conn = conn_begin(sk, cookie, sock_direction(sk), container);
	if (conn)
		conn->joined = 1;
	return conn;
}

#endif
