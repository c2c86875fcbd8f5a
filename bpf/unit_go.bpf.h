/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * unit_go: the goroutine that a thread of a Go program runs. The unit is the address of its g.
 * The runtime keeps and reuses a g after its goroutine has ended, and always starts the next one
 * through newproc1 (bpf/unit_go.bpf.c), where the new one takes its parent's request or loses the
 * old owner's.
 *
 * The threads of a Go program are never units: goroutines move between them as they like.
 */
#ifndef REQTAP_UNIT_GO_BPF_H
#define REQTAP_UNIT_GO_BPF_H

#include "bpf/runtime.bpf.h"

/*
 * Of a goroutine: the object of the program that it reads an HTTP/2 connection for; or, before it
 * has one, the connection that it has read, which whom it starts takes over: the first frames are
 * often read, with the preface, by another goroutine than the rest. Of an object: its connection.
 */
struct go_link_key {
	u64 address;
	u32 tgid;
	u32 reserved;
};

struct go_link {
	u64 to;     /* the object; or the connection's key in rt_conn */
	u64 cookie; /* of the connection; 0: it is an object */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct go_link_key);
	__type(value, struct go_link);
} rt_go_link __weak SEC(".maps");

static __always_inline struct go_link *go_link(u32 tgid, u64 address)
{
	struct go_link_key key = { .address = address, .tgid = tgid };

	return bpf_map_lookup_elem(&rt_go_link, &key);
}

static __always_inline void go_link_set(u32 tgid, u64 address, u64 to, u64 cookie)
{
	struct go_link_key key = { .address = address, .tgid = tgid };
	struct go_link link = { .to = to, .cookie = cookie };

	bpf_map_update_elem(&rt_go_link, &key, &link, BPF_ANY);
}

static __always_inline void go_link_delete(u32 tgid, u64 address)
{
	struct go_link_key key = { .address = address, .tgid = tgid };

	bpf_map_delete_elem(&rt_go_link, &key);
}

/* The goroutine `g` has read a stream of the connection. */
static __always_inline void go_reads_stream(u32 tgid, u64 g, u64 sk)
{
	struct go_link *link = go_link(tgid, g);
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);

	if (conn)
		go_link_set(tgid, link && !link->cookie ? link->to : g, sk, conn->cookie);
}

/* `parent` starts `child`, whose g may have been another's. */
static __always_inline void go_link_inherit(u32 tgid, u64 parent, u64 child)
{
	struct go_link *link = go_link(tgid, parent);

	if (link && link->cookie)
		go_link_set(tgid, child, link->to, link->cookie);
	else if (go_link(tgid, child))
		go_link_delete(tgid, child);
}

/* The goroutine `g` begins to read for `object`. */
static __always_inline void go_link_begin(u32 tgid, u64 g, u64 object)
{
	struct go_link *link = go_link(tgid, g);

	if (link && link->cookie)
		go_link_set(tgid, object, link->to, link->cookie);
	else if (!link || link->to != object) /* not the same call, at its second try for a stack */
		go_link_delete(tgid, object);
	go_link_set(tgid, g, object, 0);
}

static __always_inline struct unit unit_goroutine(u32 tgid, u64 g)
{
	return (struct unit){ .tgid = tgid, .kind = RT_UNIT_GOROUTINE, .id = g };
}

/*
 * The g of the current thread; 0: it runs none. A call into C runs on the thread's own g, which
 * nobody starts or reads requests with, so that its lines have no owner.
 */
static __always_inline u64 go_current(const struct runtime *go)
{
	u64 g = 0;

	if (!go->offset[RT_GO_PARENT])
		return 0;
#if defined(__TARGET_ARCH_x86)
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 base = BPF_CORE_READ(task, thread.fsbase);

	if (bpf_probe_read_user(&g, sizeof(g), (void *)(base + (s32)go->offset[RT_GO_G])))
		return 0;
#else
	/* x28, by the calling convention; kernels before 5.15 do not hand it out */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		struct task_struct *task = bpf_get_current_task_btf();
		struct user_pt_regs *regs = (void *)bpf_task_pt_regs(task);

		bpf_probe_read_kernel(&g, sizeof(g), &regs->regs[28]);
	}
#endif
	return g;
}

#endif
