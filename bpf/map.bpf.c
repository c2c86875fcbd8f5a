// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Files that a target maps executable, in both plans: so the agent learns of a library when it is
 * loaded, and looks at each file once.
 */
#include "bpf/ring.bpf.h"
#include "bpf/task.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* include/uapi/asm-generic/mman*.h */
#define PROT_EXEC 4
#define MAP_ANONYMOUS 0x20

/*
 * File -> until when (ns) the agent has no interest in it. Not for ever: the inode's number may
 * be used again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct stream_key);
	__type(value, u64);
} rt_mapped SEC(".maps");

static __always_inline bool of_no_interest(const struct stream_key *file)
{
	u64 *until = bpf_map_lookup_elem(&rt_mapped, file);

	return until && *until > bpf_ktime_get_boot_ns();
}

SEC("tp/map")
int rt_enter_mmap(struct syscall_enter *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight call = {
		.op = INFLIGHT_MAP,
		.memory = { .total = ctx->args[1], .skip = ctx->args[5] },
	};
	struct file *file;

	if (!(ctx->args[2] & PROT_EXEC) || (ctx->args[3] & MAP_ANONYMOUS))
		return 0;
	call.container = container_current(id >> 32);
	if (!call.container)
		return 0;
	file = task_file(ctx->args[4]);
	if (!file || (file_key(file, &call.key) & S_IFMT) != S_IFREG || of_no_interest(&call.key))
		return 0;
	if (bpf_map_update_elem(&rt_inflight, &id, &call, BPF_ANY))
		count(RT_LOST_EVENT);
	return 0;
}

SEC("tp/map")
int rt_exit_mmap(struct syscall_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = bpf_map_lookup_elem(&rt_inflight, &id);
	struct event_map *event;

	if (!call || call->op != INFLIGHT_MAP)
		return 0;
	event = ctx->ret > 0 ? bpf_ringbuf_reserve(&rt_ring, sizeof(*event), 0) : 0;
	if (event) {
		event_begin(&event->head, RT_EVENT_MAP, call->container, bpf_ktime_get_boot_ns());
		event->inode = call->key.inode;
		event->device = call->key.device;
		event->tgid = id >> 32;
		event->address = ctx->ret;
		event->length = call->memory.total;
		event->offset = call->memory.skip;
		ring_submit(event);
	} else if (ctx->ret > 0) {
		count(RT_LOST_EVENT);
	}
	bpf_map_delete_elem(&rt_inflight, &id);
	return 0;
}
