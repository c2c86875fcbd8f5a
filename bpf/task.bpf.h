/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the current task is and has: its container, the files behind its descriptors.
 */
#ifndef REQTAP_TASK_BPF_H
#define REQTAP_TASK_BPF_H

#include "bpf/maps.bpf.h"

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define SOCK_STREAM 1
#define UNIX98_PTY_SLAVE_MAJOR 136
#define TTY_MAJOR 4

/* The agent's pod is a container too: what it logs about logs must not come back to it. */
static __always_inline struct control *control_for(u32 tgid)
{
	u32 zero = 0;
	struct control *control = bpf_map_lookup_elem(&rt_control, &zero);

	return control && control->agent_tgid != tgid ? control : 0;
}

/* The container whose process `tgid` (the current one) is, whichever set of programs works. */
static __always_inline u64 container_target(u32 tgid)
{
	if (!rt_by_cgroup) {
		u64 *id = bpf_map_lookup_elem(&rt_process, &tgid);

		return id ? *id : 0;
	}
	u64 cgroup = bpf_get_current_cgroup_id();
	struct container *container = bpf_map_lookup_elem(&rt_container, &cgroup);

	if (!container || !(container->flags & RT_CONTAINER_CAPTURE))
		return 0;
	return container->id;
}

/*
 * While one agent takes over from another, two sets of programs are attached, and control->set says
 * which one works: for the other, no process is a target. 0: no target.
 */
static __always_inline u64 container_current(u32 tgid)
{
	u64 id = container_target(tgid);
	struct control *control = id ? control_for(tgid) : 0;

	return control && control->set == rt_set ? id : 0;
}

/* For what may be done twice, as keeping a call's arguments, and must not be left out: the first
 * program may have looked at control->set before it changed, and the second after. */
static __always_inline u64 container_either(u32 tgid)
{
	u64 id = container_target(tgid);
	struct control *control = id ? control_for(tgid) : 0;

	return control && (control->set == rt_set || control->handover) ? id : 0;
}

/*
 * For what must be done once, at the exit of a system call, where control->set may change between
 * the two programs as well. The older set's runs first (bpf_prog_array_copy() appends); what it
 * takes it notes, and the other one leaves.
 */
static __always_inline bool call_is_ours(u64 id, const struct control *control)
{
	bool works = control->set == rt_set;
	u32 *taken, set = rt_set;

	if (!control->handover)
		return works;
	taken = bpf_map_lookup_elem(&rt_taken, &id);
	works = works && (!taken || *taken == rt_set);
	if (works)
		bpf_map_update_elem(&rt_taken, &id, &set, BPF_ANY);
	else if (taken)
		bpf_map_delete_elem(&rt_taken, &id);
	return works;
}

static __always_inline u64 container_called(u64 id)
{
	u64 container = container_target(id >> 32);
	struct control *control = container ? control_for(id >> 32) : 0;

	return control && call_is_ours(id, control) ? container : 0;
}

/* Open file of the current task, or NULL. */
static __always_inline struct file *task_file(u32 fd)
{
	struct file **array, *file = 0;
	u32 count;

	/* a typed pointer is followed by plain loads, where others take a helper's call each */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		struct fdtable *table = bpf_get_current_task_btf()->files->fdt;

		count = table->max_fds;
		array = table->fd;
	} else {
		struct task_struct *task = (void *)bpf_get_current_task();
		struct fdtable *table = BPF_CORE_READ(task, files, fdt);

		count = BPF_CORE_READ(table, max_fds);
		array = BPF_CORE_READ(table, fd);
	}
	if (fd >= count || bpf_probe_read_kernel(&file, sizeof(file), array + fd))
		return 0;
	return file;
}

static __always_inline void inode_key(const struct inode *inode, struct stream_key *ret_key)
{
	ret_key->inode = BPF_CORE_READ(inode, i_ino);
	ret_key->device = BPF_CORE_READ(inode, i_sb, s_dev);
	ret_key->reserved = 0;
}

/* Returns the file's mode. */
static __always_inline u16 file_key(struct file *file, struct stream_key *ret_key)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	inode_key(inode, ret_key);
	return BPF_CORE_READ(inode, i_mode);
}

/* The stream socket behind a file of mode S_IFSOCK, or NULL. */
static __always_inline struct sock *file_sock(struct file *file)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);

	if (!socket || BPF_CORE_READ(socket, type) != SOCK_STREAM)
		return 0;
	return BPF_CORE_READ(socket, sk);
}

static __always_inline u64 task_cgroup(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
}

#endif
