// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * TLS by OpenSSL 1.1 and 3: what SSL_read returns and SSL_write takes goes through the same machine
 * as a socket's bytes. The connection is the SSL object; it carries requests when the program made
 * it the server's side (SSL_set_accept_state, SSL_accept), never by what its bytes look like. An
 * object from before the attach has no known side and gives no request.
 *
 * The encrypted bytes beneath are no HTTP to the socket's own machine, and a program that feeds
 * OpenSSL through memory (asyncio, Node) never reads a socket inside SSL_read at all.
 */
#include "bpf/request.bpf.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* SSL_read and its like between entry and return. */
struct tls_call {
	u64 ssl;
	u64 buffer;
	u64 done; /* of the _ex functions: where the byte count is stored; else 0 */
};

/* pid_tgid -> struct tls_call */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct tls_call);
} rt_tls SEC(".maps");

/*
 * The object's key in rt_conn, among the kernel's socket addresses, whose upper bits are all ones.
 * Two objects with one key are told apart by tls_conn().
 */
static __always_inline u64 tls_key(u32 tgid, u64 ssl)
{
	return ((u64)tgid << 40 ^ ssl) & ~(1ULL << 63);
}

static __always_inline struct conn *tls_conn(u32 tgid, u64 ssl)
{
	u64 key = tls_key(tgid, ssl);
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &key);

	return conn && conn->cookie == ssl && conn->tgid == tgid ? conn : 0;
}

static __always_inline void tls_end(u32 tgid, u64 ssl)
{
	u64 key = tls_key(tgid, ssl);
	struct conn *conn = tls_conn(tgid, ssl);

	if (!conn)
		return;
	if (conn->out.state == HTTP_UNTIL_CLOSE)
		conn_answered(conn, RT_REQUEST_ANSWERED);
	conn_end_all(conn, RT_REQUEST_ABORTED);
	http2_close(key);
	bpf_map_delete_elem(&rt_conn, &key);
}

SEC("uprobe")
int rt_tls_server(struct pt_regs *ctx)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u64 ssl = PT_REGS_PARM1(ctx), container = container_current(tgid);
	struct conn *conn;

	/* SSL_accept is called again for each part of the handshake */
	if (!container || tls_conn(tgid, ssl))
		return 0;
	conn = conn_begin((void *)tls_key(tgid, ssl), ssl, CONN_IN, container);
	if (conn)
		conn->tgid = tgid;
	return 0;
}

/* SSL_set_connect_state, SSL_connect, SSL_free */
SEC("uprobe")
int rt_tls_end(struct pt_regs *ctx)
{
	tls_end(bpf_get_current_pid_tgid() >> 32, PT_REGS_PARM1(ctx));
	return 0;
}

static __always_inline int tls_enter(u64 ssl, u64 buffer, u64 done)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_call call = { .ssl = ssl, .buffer = buffer, .done = done };

	if (tls_conn(id >> 32, ssl))
		bpf_map_update_elem(&rt_tls, &id, &call, BPF_ANY);
	return 0;
}

/* SSL_read, SSL_write: (ssl, buffer, length) */
SEC("uprobe")
int rt_tls_enter(struct pt_regs *ctx)
{
	return tls_enter(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), 0);
}

/* SSL_read_ex, SSL_write_ex: (ssl, buffer, length, done) */
SEC("uprobe")
int rt_tls_enter_ex(struct pt_regs *ctx)
{
	return tls_enter(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM4(ctx));
}

/* The bytes that the call moved; 0: none. */
static __always_inline u64 tls_bytes(const struct tls_call *call, int result)
{
	u64 bytes = 0;

	if (result <= 0)
		return 0;
	if (!call->done)
		return result;
	if (bpf_probe_read_user(&bytes, sizeof(bytes), (void *)call->done))
		count(RT_HEADER_FAULT);
	return bytes;
}

static __always_inline int tls_exit(int result, bool sent)
{
	u64 id = bpf_get_current_pid_tgid(), bytes;
	struct tls_call *call = bpf_map_lookup_elem(&rt_tls, &id);
	struct inflight moved = { .op = sent ? INFLIGHT_SEND : INFLIGHT_RECEIVE }, *kept;

	if (!call)
		return 0;
	bytes = tls_bytes(call, result);
	moved.sk = tls_key(id >> 32, call->ssl);
	moved.memory.base = call->buffer;
	bpf_map_delete_elem(&rt_tls, &id);
	if (!bytes || bytes > 0x7fffffff || bpf_map_update_elem(&rt_inflight, &id, &moved, BPF_ANY))
		return 0;
	/* in user space the thread is in no system call: the entry is free */
	kept = bpf_map_lookup_elem(&rt_inflight, &id);
	if (kept)
		conn_bytes(kept, bytes, sent);
	bpf_map_delete_elem(&rt_inflight, &id);
	return 0;
}

SEC("uretprobe")
int rt_tls_read(struct pt_regs *ctx)
{
	return tls_exit(PT_REGS_RC(ctx), false);
}

SEC("uretprobe")
int rt_tls_written(struct pt_regs *ctx)
{
	return tls_exit(PT_REGS_RC(ctx), true);
}
