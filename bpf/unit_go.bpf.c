// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Goroutines that start goroutines. agent/golang.c finds both places in the runtime's code: the
 * call of newproc1, which has the parent for an argument, and the instruction behind it, which has
 * the new g in the result register. Nothing else runs on the thread between the two.
 */
#include "bpf/unit.bpf.h"
#include "bpf/unit_go.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* pid_tgid -> the goroutine that is starting another */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u64);
} rt_go_parent SEC(".maps");

/*
 * Go's register calling convention (src/cmd/compile/abi-internal.md), arguments 1 and 3. Both are
 * loaded first: the verifier allows no load from the context at an offset that was chosen.
 */
static __always_inline u64 go_argument(const struct pt_regs *ctx, u32 number)
{
#if defined(__TARGET_ARCH_x86)
	u64 first = ctx->bx, third = ctx->di;
#else
	u64 first = ctx->regs[1], third = ctx->regs[3];
#endif

	barrier_var(first);
	barrier_var(third);
	return number == 1 ? first : third;
}

static __always_inline u64 go_result(const struct pt_regs *ctx)
{
#if defined(__TARGET_ARCH_x86)
	return ctx->ax;
#else
	return ctx->regs[0];
#endif
}

SEC("uprobe")
int rt_go_start(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), parent;
	struct runtime *go = runtime_get(id >> 32, RT_RUNTIME_GO);

	if (!go)
		return 0;
	parent = go_argument(ctx, go->offset[RT_GO_PARENT]);
	bpf_map_update_elem(&rt_go_parent, &id, &parent, BPF_ANY);
	return 0;
}

SEC("uprobe")
int rt_go_started(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), *parent;
	struct unit from = {}, to = unit_goroutine(id >> 32, go_result(ctx));
	u64 request = 0, now = bpf_ktime_get_boot_ns();

	parent = bpf_map_lookup_elem(&rt_go_parent, &id);
	if (parent) {
		from = unit_goroutine(id >> 32, *parent);
		request = unit_request(&from, now);
		bpf_map_delete_elem(&rt_go_parent, &id);
	}
	if (request)
		unit_own(&to, request, 0);
	else
		bpf_map_delete_elem(&rt_owner, &to); /* of the goroutine that had this g before */
	return 0;
}
