// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Who points a descriptor elsewhere, in the syscall plan; bpf/repoint.bpf.h says why. For each
 * thread that is inside a call on it the file is kept first, and then it is looked whether the
 * thread still is: so each kept one is taken by that call's own exit, and by no later call's.
 *
 * From 5.15 on. Before, no program can read a task's registers, and a call's file is kept with
 * its arguments (bpf/syscall.bpf.c).
 */
#include "bpf/repoint.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

#define REPOINT_THREADS 1024 /* of a process that are looked at */
#define ENOSYS 38

/* A call in progress, from the registers that its thread saved. */
struct call {
	s64 nr; /* -1: none */
	u64 fd;
	u64 base;
};

static __always_inline void call_read(u64 address, struct call *ret)
{
	struct pt_regs *regs = (void *)address;

#if defined(__TARGET_ARCH_x86)
	/* the kernel's own default for a call's result, until there is one */
	ret->nr = BPF_CORE_READ(regs, ax) == (u64)-ENOSYS ? (s64)BPF_CORE_READ(regs, orig_ax) : -1;
	ret->fd = BPF_CORE_READ(regs, di);
	ret->base = BPF_CORE_READ(regs, si);
#else
	ret->fd = BPF_CORE_READ(regs, orig_x0);
	ret->nr = BPF_CORE_READ(regs, regs[0]) == ret->fd ? BPF_CORE_READ(regs, syscallno) : -1;
	ret->base = BPF_CORE_READ(regs, regs[1]);
#endif
}

/* One thread. Global: verified once, and not for each of them. */
__weak int thread_keep(u64 thread, u64 regs, u32 fd, u64 file)
{
	struct task_struct *task = (void *)thread;
	u64 id = (u64)BPF_CORE_READ(task, tgid) << 32 | (u32)BPF_CORE_READ(task, pid);
	struct repointed_call kept = { .file = (void *)file };
	struct call call, again;

	call_read(regs, &call);
	if (call.nr < 0 || (u32)call.fd != fd)
		return 0;
	kept.nr = call.nr;
	kept.base = call.base;
	bpf_map_update_elem(&rt_repointed, &id, &kept, BPF_ANY);
	call_read(regs, &again);
	if (again.nr != call.nr || again.fd != call.fd || again.base != call.base)
		bpf_map_delete_elem(&rt_repointed, &id);
	return 0;
}

/* Do other threads have this descriptor, and is it one whose bytes are looked at? */
static __always_inline struct file *file_shared(u32 fd)
{
	struct stream_key key;
	struct file *file;

	if (bpf_get_current_task_btf()->files->count.counter < 2)
		return 0;
	file = task_file(fd);
	if (!file)
		return 0;
	if ((file_key(file, &key) & S_IFMT) == S_IFSOCK)
		return file;
	return bpf_map_lookup_elem(&rt_stream, &key) || bpf_map_lookup_elem(&rt_inner, &key) ? file
											     : 0;
}

/* How far a task's registers are from the start of its stack. */
static __always_inline u64 registers_offset(struct task_struct *me)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(me);
	u64 address = 0;

	/* copies are numbers: with pointers the verifiers of 6.1 and of 7.2 do no such sum */
	bpf_probe_read_kernel(&address, sizeof(address), &regs);
	return address - (u64)BPF_CORE_READ(me, stack);
}

static __always_inline void keep_calls(u32 fd)
{
	struct task_struct *me = bpf_get_current_task_btf(), *task;
	struct file *file;
	struct list_head *head, *node;
	u32 zero = 0;
	struct control *control = bpf_map_lookup_elem(&rt_control, &zero);
	u64 regs;

	if (!control || !container_either(bpf_get_current_pid_tgid() >> 32))
		return;
	file = file_shared(fd);
	if (!file)
		return;
	control->repointed = 1;
	regs = registers_offset(me);
	head = &me->signal->thread_head;
	node = BPF_CORE_READ(head, next);
	for (int i = 0; i < REPOINT_THREADS && node != head; i++) {
		task = (void *)node - bpf_core_field_offset(struct task_struct, thread_node);
		if (task != me)
			thread_keep((u64)task, (u64)BPF_CORE_READ(task, stack) + regs, fd,
				    (u64)file);
		node = BPF_CORE_READ(node, next);
	}
}

static __always_inline void repoints(u32 fd)
{
	if (reads_registers())
		keep_calls(fd);
}

/* dup2, dup3: what their second argument is, is closed */
SEC("tp/repoint")
int rt_repoint_dup(struct syscall_enter *ctx)
{
	repoints(ctx->args[1]);
	return 0;
}

/* close, of a standard stream: its number is given out again at once */
SEC("tp/repoint")
int rt_repoint_close(struct syscall_enter *ctx)
{
	if (ctx->args[0] <= 2)
		repoints(ctx->args[0]);
	return 0;
}
