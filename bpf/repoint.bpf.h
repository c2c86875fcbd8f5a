/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * repoint: the file of a call whose descriptor another thread points elsewhere (dup2, close) while
 * it waits. The exits ask the descriptor for the file, and would take the bytes for another
 * stream's or another connection's. So who does that keeps the file for the threads of the process
 * that are inside a call on it (bpf/repoint.bpf.c); no other call pays for it.
 */
#ifndef REQTAP_REPOINT_BPF_H
#define REQTAP_REPOINT_BPF_H

#include "bpf/task.bpf.h"

struct repointed_call {
	u32 nr;
	u32 reserved;
	u64 base; /* second argument: with the number, what tells that it is the same call */
	struct file *file;
};

/* pid_tgid -> the call that the thread is inside of. Each call takes its own at its exit. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, struct repointed_call);
} rt_repointed __weak SEC(".maps");

/* bpf_task_pt_regs() came with 5.15 */
static __always_inline bool reads_registers(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs);
}

/* Is there, or was there ever, such a call? */
static __always_inline bool repointed_any(void)
{
	u32 zero = 0;
	struct control *control = bpf_map_lookup_elem(&rt_control, &zero);

	return control && control->repointed;
}

/*
 * The file that the current thread's ending call began with; NULL: its descriptor has it still. A
 * descriptor's last reference is dropped when its call is over, on the way to user space.
 */
static __always_inline struct file *repointed_take(u64 id, u32 nr, u64 base)
{
	struct repointed_call *call = repointed_any() ? bpf_map_lookup_elem(&rt_repointed, &id) : 0;
	struct file *file;

	if (!call)
		return 0;
	file = call->nr == nr && call->base == base ? call->file : 0;
	bpf_map_delete_elem(&rt_repointed, &id);
	return file;
}

/* The call has failed. */
static __always_inline void repointed_forget(u64 id)
{
	if (repointed_any())
		bpf_map_delete_elem(&rt_repointed, &id);
}

#endif
