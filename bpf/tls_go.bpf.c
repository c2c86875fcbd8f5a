// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * TLS by Go's crypto/tls. Not by return probes, which change what lies on a stack that Go moves
 * and unwinds: agent/golang_tls.c finds the instructions that return. Between a call and its return
 * the goroutine may change threads, so the call is kept by goroutine. A function that had to grow
 * its stack begins once more: what its beginning keeps is the same.
 */
#include "bpf/go.bpf.h"
#include "bpf/tls.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* Goroutines inside Read or Write */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct unit);
	__type(value, struct tls_call);
} rt_go_tls SEC(".maps");

/* (*Conn).serverHandshake: once, before anything else */
SEC("uprobe")
int rt_go_tls_begin(struct pt_regs *ctx)
{
	object_begin(bpf_get_current_pid_tgid() >> 32, go_argument(ctx, 0));
	return 0;
}

/* (*Conn).Close */
SEC("uprobe")
int rt_go_tls_end(struct pt_regs *ctx)
{
	object_end(bpf_get_current_pid_tgid() >> 32, go_argument(ctx, 0));
	return 0;
}

/* (*Conn).Read, (*Conn).Write: receiver, then the slice's address */
SEC("uprobe")
int rt_go_tls_enter(struct pt_regs *ctx)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct tls_call call = { .object = go_argument(ctx, 0), .buffer = go_argument(ctx, 1) };
	struct runtime *go = runtime_get(tgid, RT_RUNTIME_GO);
	struct unit goroutine;

	if (!go || !object_conn(tgid, call.object))
		return 0;
	goroutine = unit_goroutine(tgid, go_current(go));
	bpf_map_update_elem(&rt_go_tls, &goroutine, &call, BPF_ANY);
	return 0;
}

static __always_inline int go_tls_exit(s64 bytes, bool sent)
{
	u64 id = bpf_get_current_pid_tgid();
	struct runtime *go = runtime_get(id >> 32, RT_RUNTIME_GO);
	struct tls_call *kept, call;
	struct unit goroutine;

	if (!go)
		return 0;
	goroutine = unit_goroutine(id >> 32, go_current(go));
	kept = bpf_map_lookup_elem(&rt_go_tls, &goroutine);
	if (!kept)
		return 0;
	call = *kept;
	bpf_map_delete_elem(&rt_go_tls, &goroutine);
	if (bytes > 0)
		tls_moved(id, &call, bytes, sent);
	return 0;
}

SEC("uprobe")
int rt_go_tls_read(struct pt_regs *ctx)
{
	return go_tls_exit(go_result(ctx), false);
}

SEC("uprobe")
int rt_go_tls_written(struct pt_regs *ctx)
{
	return go_tls_exit(go_result(ctx), true);
}
