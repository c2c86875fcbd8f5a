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
