/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * runtime: the language runtimes of a process, as the agent found them. A process that it has not
 * recognised has none: its threads are its units.
 */
#ifndef REQTAP_RUNTIME_BPF_H
#define REQTAP_RUNTIME_BPF_H

#include "bpf/maps.bpf.h"

/* tgid -> struct runtimes */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct runtimes);
} rt_runtime __weak SEC(".maps");

/* NULL: the process, whose `runtimes` these are (or NULL), has no such runtime. */
static __always_inline struct runtime *runtime_of(struct runtimes *runtimes,
						  enum rt_runtime_kind kind)
{
	return runtimes && runtimes->of[kind].image ? &runtimes->of[kind] : 0;
}

static __always_inline struct runtime *runtime_get(u32 tgid, enum rt_runtime_kind kind)
{
	return runtime_of(bpf_map_lookup_elem(&rt_runtime, &tgid), kind);
}

/* A forked child is its parent's copy; its number may have been another's. */
static __always_inline void runtime_fork(u32 parent, u32 child)
{
	struct runtimes *runtimes = bpf_map_lookup_elem(&rt_runtime, &parent);

	if (!runtimes)
		bpf_map_delete_elem(&rt_runtime, &child);
	else if (bpf_map_update_elem(&rt_runtime, &child, runtimes, BPF_ANY))
		count(RT_RUNTIME_FULL);
}

static __always_inline void runtime_forget(u32 tgid)
{
	bpf_map_delete_elem(&rt_runtime, &tgid);
}

#endif
