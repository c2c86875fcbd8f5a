/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/running.h"

#include <errno.h>
#include <stdlib.h>
#include "agent/proc.h"

struct process {
	pid_t tgid;
	struct proc_stat stat;
};

struct take_up {
	struct probe *probe;
	const struct cgroup_tree *tree;
	uint64_t container;
	struct process *processes;
	unsigned count;
};

static int on_process(void *ctx, pid_t tgid)
{
	struct take_up *t = ctx;
	struct process *process = &t->processes[t->count];

	if (t->count == RUNNING_PROCESSES_MAX)
		return -ENOSPC;
	process->tgid = tgid;
	t->count += !proc__stat(tgid, &process->stat);
	return 0;
}

static int on_cgroup(void *ctx, uint64_t id, const char *path)
{
	struct take_up *t = ctx;

	cgroup_tree__processes(t->tree, path, on_process, t);
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct process *one = a, *other = b;

	if (one->stat.start_ticks != other->stat.start_ticks)
		return one->stat.start_ticks < other->stat.start_ticks ? -1 : 1;
	return one->tgid < other->tgid ? -1 : 1;
}

static bool inside(const struct take_up *t, pid_t tgid)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->processes[i].tgid == tgid)
			return true;
	return false;
}

static void set_stream(struct take_up *t, pid_t tgid, int fd, bool inner)
{
	struct stream stream = { .container = t->container, .inner = inner };
	struct proc_stream out, other;

	if (proc__stream(tgid, fd, &out) || (inner && !out.shared_input))
		return;
	stream.kind = fd == 2 ? RT_STREAM_STDERR : RT_STREAM_STDOUT;
	if (!proc__stream(tgid, 3 - fd, &other) && other.inode == out.inode &&
	    other.device == out.device)
		stream.kind = RT_STREAM_STDOUT | RT_STREAM_STDERR;
	probe__stream_set(t->probe, out.inode, out.device, &stream);
}

static bool same_stream(pid_t one, pid_t other, int fd)
{
	struct proc_stream a, b;

	for (int i = 1; i <= 2; i++)
		if (!proc__stream(one, fd, &a) && !proc__stream(other, i, &b) &&
		    a.inode == b.inode && a.device == b.device)
			return true;
	return false;
}

static void on_port(void *ctx, uint32_t netns, uint16_t port)
{
	struct take_up *t = ctx;

	probe__listen_set(t->probe, netns, port);
}

/* What an exec session started, whose parent is outside, writes no log: prior-art of the pipes. */
static void take_up_others(struct take_up *t)
{
	pid_t first = t->processes[0].tgid;

	for (unsigned i = 1; i < t->count; i++) {
		const struct process *process = &t->processes[i];

		if (!inside(t, process->stat.parent))
			continue;
		for (int fd = 1; fd <= 2; fd++)
			if (!same_stream(process->tgid, first, fd))
				set_stream(t, process->tgid, fd, true);
	}
}

pid_t running__take_up(struct probe *probe, struct runtime_table *runtimes,
		       const struct cgroup_tree *tree, uint64_t container, const char *path)
{
	struct take_up t = { .probe = probe, .tree = tree, .container = container };
	pid_t first = 0;

	t.processes = calloc(RUNNING_PROCESSES_MAX, sizeof(*t.processes));
	if (!t.processes)
		return 0;
	cgroup_tree__walk(tree, path, on_cgroup, &t);
	qsort(t.processes, t.count, sizeof(*t.processes), by_start);
	if (t.count) {
		first = t.processes[0].tgid;
		set_stream(&t, first, 1, false);
		set_stream(&t, first, 2, false);
		take_up_others(&t);
		proc__listening(first, on_port, &t);
	}
	for (size_t i = 0; i < t.count; i++)
		(void)runtime_table__process(runtimes, t.processes[i].tgid);
	free(t.processes);
	return first;
}
