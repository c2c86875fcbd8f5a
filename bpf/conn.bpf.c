// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The life of TCP sockets: what listens, and what closes. One raw tracepoint that costs once per
 * connection; it sees what io_uring does too.
 */
#include "bpf/request.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

SEC("raw_tp/inet_sock_set_state")
int rt_sock_state(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	int old_state = ctx[1], state = ctx[2];
	u64 key = (u64)sk;
	struct conn *conn;

	if (state == TCP_LISTEN || old_state == TCP_LISTEN) {
		struct listen_key listen = sock_listen_key(sk);
		u32 one = 1;

		if (state == TCP_LISTEN)
			bpf_map_update_elem(&rt_listen, &listen, &one, BPF_ANY);
		else
			bpf_map_delete_elem(&rt_listen, &listen);
		return 0;
	}
	if (state != TCP_FIN_WAIT1 && state != TCP_LAST_ACK && state != TCP_CLOSE &&
	    state != TCP_CLOSE_WAIT)
		return 0;
	conn = bpf_map_lookup_elem(&rt_conn, &key);
	if (!conn)
		return 0;
	if (state == TCP_CLOSE_WAIT) {
		pool_loses(conn);
		return 0;
	}
	if (state != TCP_CLOSE) /* which may be the peer's doing, in any thread's time */
		handoff_gives_back(bpf_get_current_pid_tgid());
	/* our side closes: that is how a response without a length ends (RFC 9112, section 6.3) */
	if (conn->out.state == HTTP_UNTIL_CLOSE)
		conn_answered(conn, RT_REQUEST_ANSWERED);
	if (state != TCP_CLOSE)
		return 0;
	if (conn->direction == CONN_IN && conn->in.state != HTTP_TWO &&
	    (old_state == TCP_ESTABLISHED || old_state == TCP_CLOSE_WAIT)) {
		conn_reset(conn);
		return 0;
	}
	conn_end_all(conn, RT_REQUEST_ABORTED);
	http2_close(key);
	bpf_map_delete_elem(&rt_conn, &key);
	return 0;
}
