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
#include "bpf/tls.bpf.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* pid_tgid -> struct tls_call */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct tls_call);
} rt_tls SEC(".maps");

SEC("uprobe")
int rt_tls_server(struct pt_regs *ctx)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;

	/* SSL_accept is called again for each part of the handshake */
	if (!object_conn(tgid, PT_REGS_PARM1(ctx)))
		object_begin(tgid, PT_REGS_PARM1(ctx));
	return 0;
}

/* SSL_set_connect_state, SSL_connect, SSL_free */
SEC("uprobe")
int rt_tls_end(struct pt_regs *ctx)
{
	object_end(bpf_get_current_pid_tgid() >> 32, PT_REGS_PARM1(ctx));
	return 0;
}

static __always_inline int tls_enter(u64 ssl, u64 buffer, u64 done)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_call call = { .object = ssl, .buffer = buffer, .done = done };

	if (object_conn(id >> 32, ssl))
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
	struct tls_call *kept = bpf_map_lookup_elem(&rt_tls, &id), call;

	if (!kept)
		return 0;
	call = *kept;
	bpf_map_delete_elem(&rt_tls, &id);
	bytes = tls_bytes(&call, result);
	if (bytes)
		tls_moved(id, &call, bytes, sent);
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
