// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Contexts that are made: a task, a callback and a call in a pool each run in a copy of the context
 * that was current when they were made, and so work for its request.
 *
 * Probes at the return, not at the return instructions: Debian's PyContext_CopyCurrent ends in a
 * jump to another function, and the new context is known nowhere else.
 */
#include "bpf/conn.bpf.h"
#include "bpf/unit.bpf.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* What the parent's owner passes on. */
static __always_inline struct owner python_inherit(const struct unit *parent, u64 now)
{
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, parent), child = {};
	struct conn *conn;
	u64 request;

	if (!owner)
		return child;
	conn = owner->sk ? bpf_map_lookup_elem(&rt_conn, &owner->sk) : 0;
	if (conn && conn->cookie == owner->cookie && !conn->last) {
		child.sk = owner->sk;
		child.cookie = owner->cookie;
		return child;
	}
	request = owner->sk ? owner_conn_request(owner, now, owner->flags & RT_OWNER_SENDS)
			    : owner_request(owner, now);
	child.request = request_heritage(request);
	return child;
}

static __always_inline struct owner python_begets(const struct runtime *python, u64 id, u64 now)
{
	u64 context = python_context(python);
	struct unit parent = unit_context(id >> 32, context);
	struct python_thread *thread = bpf_map_lookup_elem(&rt_python, &id);
	bool entered = python_entered(python, context);
	struct owner child = {};
	struct conn *conn;

	if (entered)
		child = python_inherit(&parent, now);
	if (child.request || child.sk || !thread)
		return child;
	if (thread->accept_sk && thread->accept_context == context) {
		child.sk = thread->accept_sk;
		child.cookie = thread->accept_cookie;
		conn = bpf_map_lookup_elem(&rt_conn, &child.sk);
		if (conn)
			conn->by_context = 1;
		thread->accept_sk = 0;
	} else if (entered && python_in_callback(python, thread, context)) {
		child.request = thread->read_request;
	} else {
		parent = unit_thread(id >> 32, id);
		child.request = request_heritage(unit_request(&parent, now));
	}
	return child;
}

SEC("uretprobe")
int rt_py_context(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), context = PT_REGS_RC(ctx);
	struct runtime *python = runtime_get(id >> 32, RT_RUNTIME_PYTHON);
	struct unit unit = unit_context(id >> 32, context);
	struct owner child;

	if (!python || !context)
		return 0;
	child = python_begets(python, id, bpf_ktime_get_boot_ns());
	if (!child.request && !child.sk) {
		if (bpf_map_lookup_elem(&rt_owner, &unit)) /* of the context that lay here before */
			bpf_map_delete_elem(&rt_owner, &unit);
	} else if (bpf_map_update_elem(&rt_owner, &unit, &child, BPF_ANY)) {
		count(RT_OWNER_FULL);
		bpf_map_delete_elem(&rt_owner, &unit);
	}
	return 0;
}

/* Made otherwise, for no request: only what the context that lay here before leaves is taken away.
 */
SEC("uretprobe")
int rt_py_fresh(struct pt_regs *ctx)
{
	struct unit unit = unit_context(bpf_get_current_pid_tgid() >> 32, PT_REGS_RC(ctx));

	if (bpf_map_lookup_elem(&rt_owner, &unit))
		bpf_map_delete_elem(&rt_owner, &unit);
	return 0;
}
