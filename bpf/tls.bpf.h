/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tls: what a TLS library takes and returns goes through the same machine as a socket's bytes. The
 * connection is the library's object, which says itself whether it is the server's side.
 */
#ifndef REQTAP_TLS_BPF_H
#define REQTAP_TLS_BPF_H

#include "bpf/object.bpf.h"

/* A call of the library between its entry and its return. */
struct tls_call {
	u64 object;
	u64 buffer;
	u64 done; /* of OpenSSL's _ex functions: where the byte count is stored; else 0 */
};

/* The call moved `bytes`, at least one. */
static __always_inline void tls_moved(u64 id, const struct tls_call *call, u64 bytes, bool sent)
{
	struct inflight moved = { .op = sent ? INFLIGHT_SEND : INFLIGHT_RECEIVE }, *kept;

	moved.sk = object_key(id >> 32, call->object);
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
