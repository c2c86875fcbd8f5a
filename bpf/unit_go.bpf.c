// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Goroutines that start goroutines. agent/golang.c finds both places in the runtime's code: the
 * call of newproc1, which has the parent for an argument, and the instruction behind it, which has
 * the new g in the result register. Nothing else runs on the thread between the two.
 */
#include "bpf/unit.bpf.h"
#include "bpf/go.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* pid_tgid -> the goroutine that is starting another */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u64);
} rt_go_parent SEC(".maps");

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
