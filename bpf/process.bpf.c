// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Processes and cgroups of the targets: their streams are registered when the first program is
 * executed, what they start belongs to them, and what ends is forgotten.
 *
 * Processes by the tracepoints of perf, which run with preemption off on every kernel: a raw one
 * may be preempted since 7.0 (a46023d5616e), and until it goes on, its CPU forks unseen. Cgroups
 * are made and removed one at a time, under the kernel's own lock.
 */
#include "bpf/ring.bpf.h"
#include "bpf/runtime.bpf.h"
#include "bpf/task.bpf.h"
#include "bpf/handoff.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

static __always_inline void process_event(u16 kind, struct task_struct *task, u64 container,
					  u32 flags)
{
	struct event_process *event = bpf_ringbuf_reserve(&rt_ring, sizeof(*event), 0);
	u64 id = bpf_get_current_pid_tgid();

	if (!event) {
		count(RT_LOST_EVENT);
		return;
	}
	event_begin(&event->head, kind, container, bpf_ktime_get_boot_ns());
	event->tgid = id >> 32;
	event->tid = id;
	event->parent_tgid = BPF_CORE_READ(task, real_parent, tgid);
	event->flags = flags;
	event->reserved = 0;
	event->exit_code = BPF_CORE_READ(task, exit_code);
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	ring_submit(event);
}

/* What carries lines: a pipe, a socket, a terminal, a file; not /dev/null. */
static __always_inline bool stream_mode(u16 mode, struct file *file)
{
	u16 type = mode & S_IFMT;

	if (type == S_IFIFO || type == S_IFSOCK || type == S_IFREG)
		return true;
	/* a terminal keeps its data in the file; /dev/null keeps none */
	return type == S_IFCHR && BPF_CORE_READ(file, private_data);
}

static __always_inline void stream_register(u32 fd, u64 container, bool inner)
{
	struct stream stream = { .container = container, .inner = inner };
	struct file *file = task_file(fd);
	struct stream *known;
	struct stream_key key;
	u16 mode;

	if (!file)
		return;
	mode = file_key(file, &key);
	if (!stream_mode(mode, file))
		return;
	stream.kind = fd == 2 ? RT_STREAM_STDERR : RT_STREAM_STDOUT;
	if (inner) {
		if ((mode & S_IFMT) != S_IFREG && !bpf_map_lookup_elem(&rt_stream, &key))
			bpf_map_update_elem(&rt_inner, &key, &stream, BPF_NOEXIST);
		return;
	}
	known = bpf_map_lookup_elem(&rt_stream, &key);
	if (known && known->container == container)
		known->kind |= stream.kind;
	else if (bpf_map_update_elem(&rt_stream, &key, &stream, BPF_ANY))
		count(RT_STREAM_FULL);
}

/* `kubectl exec` and probes come from outside the container: their output is no log. */
static __always_inline bool started_inside(struct task_struct *task)
{
	struct task_struct *parent = BPF_CORE_READ(task, real_parent);
	u64 cgroup;

	if (!rt_by_cgroup)
		return true;
	cgroup = task_cgroup(parent);
	return bpf_map_lookup_elem(&rt_container, &cgroup) != 0;
}

/*
 * runc, until 1.2, executes a copy of itself ("/dev/fd/7"), at times when it is in the container's
 * cgroup already. It is not the container's first program: with a terminal it has that only later.
 */
static __always_inline bool by_descriptor(struct sched_process_exec *ctx)
{
	u64 name = 0, descriptor;

	__builtin_memcpy(&descriptor, "/dev/fd/", sizeof(descriptor));
	return !bpf_probe_read_kernel(&name, sizeof(name),
				      (void *)ctx + (ctx->filename & 0xffff)) &&
	       name == descriptor;
}

SEC("tp/sched/sched_process_exec")
int rt_exec(struct sched_process_exec *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 id = container_current(bpf_get_current_pid_tgid() >> 32);
	u32 yes = 1;
	bool first;

	if (!id)
		return 0;
	runtime_forget(bpf_get_current_pid_tgid() >> 32);
	unit_executes();
	first = !by_descriptor(ctx) && !bpf_map_update_elem(&rt_started, &id, &yes, BPF_NOEXIST);
	if (first || started_inside(task)) {
		stream_register(1, id, !first);
		stream_register(2, id, !first);
	}
	process_event(RT_EVENT_EXEC, task, id, first ? RT_PROCESS_FIRST : 0);
	return 0;
}

#define CLONE_THREAD 0x10000

/* The child has not run yet: a line that it writes finds its owner. */
SEC("tp/task/task_newtask")
int rt_fork(struct task_newtask *ctx)
{
	u64 parent = bpf_get_current_pid_tgid(), id = container_current(parent >> 32);
	u32 tid = ctx->pid, tgid = ctx->clone_flags & CLONE_THREAD ? parent >> 32 : tid;
	struct unit from, to;

	if (!id)
		return 0;
	if (!rt_by_cgroup && tgid == tid && bpf_map_update_elem(&rt_process, &tgid, &id, BPF_ANY))
		count(RT_PROCESS_FULL);
	if (tgid != parent >> 32)
		runtime_fork(parent >> 32, tgid);
	from = unit_current(parent >> 32, parent);
	to = unit_thread(tgid, tid);
	unit_bears(&from, &to, parent >> 32);
	return 0;
}

SEC("tp/sched/sched_process_exit")
int rt_process_exit(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 id = bpf_get_current_pid_tgid(), container = container_current(id >> 32);
	u32 tgid = id >> 32;
	bool last;

	if (!container)
		return 0;
	last = BPF_CORE_READ(task, signal, live.counter) == 0;
	bpf_map_delete_elem(&rt_inflight, &id);
	handoff_exits(id, container);
	process_event(RT_EVENT_EXIT, task, container, last ? RT_PROCESS_LAST_THREAD : 0);
	if (last) {
		bpf_map_delete_elem(&rt_process, &tgid);
		runtime_forget(tgid);
	}
	return 0;
}

static __always_inline void cgroup_event(u64 id, u64 parent, const char *path)
{
	struct event_cgroup *event = bpf_ringbuf_reserve(&rt_ring, sizeof(*event), 0);

	if (!event) {
		count(RT_LOST_EVENT);
		return;
	}
	event_begin(&event->head, RT_EVENT_CGROUP, id, bpf_ktime_get_boot_ns());
	event->parent = parent;
	event->removed = !path;
	event->reserved = 0;
	if (!path || bpf_probe_read_kernel_str(event->path, sizeof(event->path), path) < 0)
		event->path[0] = 0;
	ring_submit(event);
}

/* Other hierarchies number their cgroups alike: only the v2 one's are meant. */
static __always_inline u64 cgroup_v2_id(struct cgroup *cgroup)
{
	return BPF_CORE_READ(cgroup, root, hierarchy_id) ? 0 : BPF_CORE_READ(cgroup, kn, id);
}

/*
 * A cgroup below a target is part of it; below a watched one (the kubelet's) it is a target at
 * once, so that not even its first byte is lost; the agent, which knows names, corrects that.
 */
SEC("raw_tp/cgroup_mkdir")
int rt_cgroup_mkdir(u64 *ctx)
{
	struct cgroup *cgroup = (void *)ctx[0];
	u64 id = cgroup_v2_id(cgroup);
	u64 parent_id = BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id);
	struct container *parent, made = {};

	if (!rt_by_cgroup || !id)
		return 0;
	parent = bpf_map_lookup_elem(&rt_container, &parent_id);
	if (!parent)
		return 0;
	made.flags = parent->flags;
	made.id = parent->id;
	if (parent->flags & RT_CONTAINER_CHILDREN) {
		made.flags = RT_CONTAINER_CHILDREN | RT_CONTAINER_CAPTURE;
		made.id = id;
	}
	if (bpf_map_update_elem(&rt_container, &id, &made, BPF_NOEXIST) &&
	    !bpf_map_lookup_elem(&rt_container, &id))
		count(RT_CONTAINER_FULL);
	cgroup_event(id, parent_id, (const char *)ctx[1]);
	return 0;
}

/* No process is in it any more. Its streams go when the agent sweeps: it tells their losses. */
SEC("raw_tp/cgroup_rmdir")
int rt_cgroup_rmdir(u64 *ctx)
{
	struct cgroup *cgroup = (void *)ctx[0];
	u64 id = cgroup_v2_id(cgroup);

	if (!rt_by_cgroup || !id || bpf_map_delete_elem(&rt_container, &id))
		return 0;
	bpf_map_delete_elem(&rt_started, &id);
	cgroup_event(id, BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id), 0);
	return 0;
}
