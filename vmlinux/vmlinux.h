/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel types that bpf/ reads, with only the fields that it reads: CO-RE finds their true
 * offsets in the running kernel's BTF, so neither order nor completeness matters here, and the
 * build needs no BTF of the build machine. tests/vm holds each field against every kernel.
 */
#ifndef REQTAP_VMLINUX_H
#define REQTAP_VMLINUX_H
#define __VMLINUX_H__ /* bpf_tracing.h: the registers by their kernel names */

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
enum { false = 0, true = 1 };

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0,
	BPF_RB_RING_SIZE = 1,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
	u32 s_dev;
};

struct inode {
	u16 i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
};

struct file {
	unsigned int f_flags;
	struct inode *f_inode;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

typedef struct {
	int counter;
} atomic_t;

struct files_struct {
	atomic_t count;
	struct fdtable *fdt;
};

struct kernfs_node {
	u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup_root {
	int hierarchy_id; /* 0: cgroup v2 */
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct list_head {
	struct list_head *next;
};

struct signal_struct {
	atomic_t live;
	struct list_head thread_head; /* task_struct.thread_node of each */
};

struct thread_info {
#if defined(__TARGET_ARCH_x86)
	u32 status;
#else
	unsigned long flags;
#endif
};

#if defined(__TARGET_ARCH_x86)
struct thread_struct {
	unsigned long fsbase;
};
#else
struct user_tls {
	unsigned long tp_value;
};

struct thread_struct {
	struct user_tls uw;
};
#endif

struct task_struct {
	struct thread_info thread_info;
	struct thread_struct thread;
	void *stack;
	int pid;
	int tgid;
	int exit_code;
	struct task_struct *real_parent;
	struct list_head thread_node;
	struct signal_struct *signal;
	struct files_struct *files;
	struct css_set *cgroups;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	u16 skc_family;
	unsigned char skc_state;
	u16 skc_num;
	possible_net_t skc_net;
};

struct socket;

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
};

struct unix_address;

struct unix_sock {
	struct unix_address *addr;
};

struct socket {
	short type;
	struct file *file;
	struct sock *sk;
};

struct kiocb {
	struct file *ki_filp;
};

struct iovec;

struct iov_iter {
	u8 iter_type;
	unsigned long iov_offset;
	const struct iovec *__iov;
	void *ubuf;
	unsigned long nr_segs;
};

/* before 6.4 */
struct iov_iter___iov {
	const struct iovec *iov;
};

/* before 5.14 */
struct iov_iter___type {
	unsigned int type;
};

struct msghdr {
	struct iov_iter msg_iter;
};

struct pt_regs {
#if defined(__TARGET_ARCH_x86)
	unsigned long cx, dx, si, di; /* the first four arguments are di, si, dx, cx */
	unsigned long ax, bx, r10;    /* r10: of a system call, instead of cx */
	unsigned long r8, sp;         /* the fifth argument; where the seventh and on are */
	unsigned long orig_ax;        /* the call's number */
#else
	u64 regs[31];
	u64 orig_x0; /* regs[0] as it was at the entry */
	int syscallno;
#endif
};

/* arm64's own name for the start of it */
struct user_pt_regs {
	u64 regs[31];
	u64 sp;
};

#pragma clang attribute pop

/* Numbers differ from kernel to kernel: by bpf_core_enum_value() only. */
enum iter_type {
	ITER_UBUF = 0,
	ITER_IOVEC = 1,
};

enum bpf_func_id {
	BPF_FUNC_get_current_task_btf = 158, /* 5.11 */
	BPF_FUNC_task_pt_regs = 175,         /* 5.15 */
};

/* Kernel ABI, not CO-RE: what user space passes. */
struct iovec {
	void *iov_base;
	u64 iov_len;
};

struct user_msghdr {
	void *msg_name;
	int msg_namelen;
	struct iovec *msg_iov;
	u64 msg_iovlen;
	void *msg_control;
	u64 msg_controllen;
	unsigned int msg_flags;
};

struct mmsghdr {
	struct user_msghdr msg_hdr;
	unsigned int msg_len;
};

/* ABI of the tracepoint task/task_newtask. */
struct task_newtask {
	u64 common;
	int pid;
	char comm[16];
	unsigned long clone_flags;
	short oom_score_adj;
};

/* ABI of the tracepoint sched/sched_process_exec. */
struct sched_process_exec {
	u64 common;
	u32 filename; /* its length, and in the low half where it begins */
};

/* ABI of the syscalls/sys_enter_* and sys_exit_* tracepoints. */
struct syscall_enter {
	u64 common;
	u32 nr;
	u32 padding; /* not cleared */
	u64 args[6];
};

struct syscall_exit {
	u64 common;
	u32 nr;
	u32 padding; /* not cleared */
	s64 ret;
};

#endif
