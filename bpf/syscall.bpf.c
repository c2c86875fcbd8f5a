// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The syscall plan: tracepoints at the exit of the calls that write and receive. It works wherever
 * BPF does; every such call of the node pays one tracepoint, and one look-up when it moved bytes.
 *
 * All is done at the exit, where it is known what the call did. Its arguments are those that the
 * kernel kept at its entry, in the task's registers; before 5.15, which cannot read them, a program
 * at the entry keeps them in rt_args. Which file a descriptor is, is asked at the exit too, unless
 * another thread has pointed it elsewhere since the entry (bpf/repoint.bpf.h).
 *
 * One program for all calls that send, and one for all that receive: each holds the whole walk
 * over their bytes, which the verifier takes its time for. rt_nr tells the calls apart.
 *
 * Since 7.1 a kernel may preempt the programs at these tracepoints, and then skips them for the
 * other tasks of that CPU (bpf/fprobe.bpf.c says why); at the tracepoints of all system calls it
 * still may not. There the dispatcher below stands in.
 */
#include "bpf/repoint.bpf.h"
#include "bpf/request.bpf.h"
#include "bpf/write.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

#define MSG_PEEK 2

/* The first four arguments of a call; where rt_args is filled, the file too. */
struct args {
	u64 at[4];
	struct file *file;
};

/* pid_tgid -> struct args; empty where the registers can be read */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct args);
} rt_args SEC(".maps");

static __always_inline bool args_read(u64 id, struct args *ret)
{
	if (reads_registers()) {
		struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
#if defined(__TARGET_ARCH_x86)
		*ret = (struct args){ { regs->di, regs->si, regs->dx, regs->r10 }, 0 };
#else
		*ret = (struct args){
			{ regs->orig_x0, regs->regs[1], regs->regs[2], regs->regs[3] }, 0
		};
#endif
		return true;
	}
	struct args *kept = bpf_map_lookup_elem(&rt_args, &id);

	if (!kept)
		return false;
	*ret = *kept;
	bpf_map_delete_elem(&rt_args, &id);
	return true;
}

/* The descriptor of a call is its first argument; splice writes to its third, tee to its second. */
static __always_inline u32 args_fd(u32 nr, const struct args *args)
{
	return nr == rt_nr[RT_SHAPE_SPLICE] ? args->at[2]
	       : nr == rt_nr[RT_SHAPE_TEE]  ? args->at[1]
					    : args->at[0];
}

static __always_inline void args_keep(u32 nr, struct args *args)
{
	u64 id = bpf_get_current_pid_tgid();

	if (!container_either(id >> 32))
		return;
	args->file = task_file(args_fd(nr, args));
	if (bpf_map_update_elem(&rt_args, &id, args, BPF_ANY))
		count(RT_LOST_INFLIGHT);
}

/* The file that the ending call began with. */
static __always_inline struct file *args_file(u64 id, u32 nr, u32 fd, const struct args *args)
{
	struct file *file = args->file;

	if (!file)
		file = repointed_take(id, nr, args->at[1]);
	return file ? file : task_file(fd);
}

/* Entry of calls with three arguments, and with four or more. */
SEC("tp")
int rt_enter_three(struct syscall_enter *ctx)
{
	struct args args = { { ctx->args[0], ctx->args[1], ctx->args[2], 0 }, 0 };

	args_keep(ctx->nr, &args);
	return 0;
}

SEC("tp")
int rt_enter_four(struct syscall_enter *ctx)
{
	struct args args = { { ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3] }, 0 };

	args_keep(ctx->nr, &args);
	return 0;
}

/* What a call moved, and where. */
struct moved {
	u32 fd;
	struct file *file; /* that fd was */
	s64 bytes;
	u64 base;     /* the user's buffer, or the iovec array */
	u64 segments; /* of the array; 0: base is the buffer */
	bool pages;   /* not the user's memory, but a file's or a pipe's pages */
};

static __always_inline bool conn_accepted(struct sock *sk, u64 cookie, u64 container)
{
	struct conn *conn = conn_get(sk, cookie, container);

	return conn && conn->direction == CONN_IN;
}

/*
 * Sent to a stream, to a connection, or to what is neither. A pipe, an eventfd (an anonymous inode,
 * of no type) or a unix socket that was not accepted is what threads wake one another by.
 */
static __always_inline void sent(u64 id, u64 container, const struct moved *moved)
{
	struct inflight call = { .memory = { .base = moved->base, .count = moved->segments } };
	struct file *file = moved->file;
	struct stream *stream = 0;
	struct inode *inode;
	struct sock *sk;
	bool within; /* the machine: TCP is no stream */
	u16 type;

	if (!file)
		return;
	inode = BPF_CORE_READ(file, f_inode);
	type = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	sk = type == S_IFSOCK ? file_sock(file) : 0;
	within = !sk || sock_is_unix(sk);
	inode_key(inode, &call.key);
	if (within)
		stream = stream_find(&call.key);
	if (!stream && type == S_IFIFO &&
	    stream_adopt(call.key.inode, call.key.device, moved->fd, container))
		stream = stream_find(&call.key);
	if (stream && moved->pages) {
		write_lost(&call.key, RT_UNSEEN_BYTES, moved->bytes);
	} else if (stream) {
		call_to_stream(&call, stream, moved->fd);
		write_whole(&call, stream, id, moved->bytes);
	} else if (sk && conn_accepted(sk, call.key.inode, container)) {
		if (moved->pages)
			sent_file((u64)sk, moved->bytes);
		else
			call.sk = (u64)sk, conn_moved(&call, id, moved->bytes, true);
	} else if (type == S_IFIFO || !type || (sk && within)) {
		handoff_gives_back(id);
	}
}

static __always_inline void received(u64 id, u64 container, const struct moved *moved)
{
	struct inflight call = { .memory = { .base = moved->base, .count = moved->segments } };
	struct file *file = moved->file;
	struct stream_key key;
	struct sock *sk;

	if (!file || (file_key(file, &key) & S_IFMT) != S_IFSOCK)
		return;
	sk = file_sock(file);
	if (!sk || !conn_accepted(sk, key.inode, container))
		return;
	if (moved->bytes)
		call.sk = (u64)sk, conn_moved(&call, id, moved->bytes, false);
	else
		received_end((u64)sk);
}

/* The iovec array of a message; the kernel leaves it as it was. */
static __always_inline bool message_read(u64 address, struct moved *ret)
{
	struct user_msghdr message;

	if (bpf_probe_read_user(&message, sizeof(message), (void *)address) || !message.msg_iovlen)
		return false;
	ret->base = (u64)message.msg_iov;
	ret->segments = message.msg_iovlen;
	return true;
}

static __always_inline void refused(struct file *file)
{
	struct stream_key key;
	struct sock *sk;

	if (!file || (file_key(file, &key) & S_IFMT) != S_IFSOCK)
		return;
	sk = file_sock(file);
	if (sk)
		sent_in_vain((u64)sk, key.inode);
}

/* write, sendto, writev, pwritev2, sendmsg */
SEC("tp")
int rt_exit_sent(struct syscall_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), container;
	u32 nr = ctx->nr;
	bool vain = ctx->ret == -EPIPE || ctx->ret == -ECONNRESET;
	struct moved moved = { .bytes = ctx->ret };
	struct args args;

	if (ctx->ret <= 0 && !vain) {
		repointed_forget(id);
		return 0;
	}
	if (!(container = container_called(id)) || !args_read(id, &args))
		return 0;
	moved.fd = args.at[0];
	moved.file = args_file(id, nr, moved.fd, &args);
	if (vain) {
		refused(moved.file);
		return 0;
	}
	moved.base = args.at[1];
	if (nr == rt_nr[RT_SHAPE_WRITEV] || nr == rt_nr[RT_SHAPE_PWRITEV2])
		moved.segments = args.at[2];
	else if (nr == rt_nr[RT_SHAPE_SENDMSG] && !message_read(args.at[1], &moved))
		return 0;
	sent(id, container, &moved);
	return 0;
}

/* sendfile, vmsplice, splice, tee */
SEC("tp")
int rt_exit_file(struct syscall_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), container;
	struct moved moved = { .bytes = ctx->ret, .pages = true };
	u32 nr = ctx->nr;
	struct args args;

	if (ctx->ret <= 0) {
		repointed_forget(id);
		return 0;
	}
	if (!(container = container_called(id)) || !args_read(id, &args))
		return 0;
	moved.fd = args_fd(nr, &args);
	moved.file = args_file(id, nr, moved.fd, &args);
	sent(id, container, &moved);
	return 0;
}

/* read, recvfrom, readv, recvmsg, recvmmsg; what is only looked at is received later. */
SEC("tp")
int rt_exit_receive(struct syscall_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), container;
	struct moved moved = { .bytes = ctx->ret };
	u32 nr = ctx->nr, bytes = 0;
	struct args args;

	if (ctx->ret < 0) {
		repointed_forget(id);
		return 0;
	}
	if (!(container = container_called(id)) || !args_read(id, &args))
		return 0;
	moved.file = args_file(id, nr, args.at[0], &args);
	moved.base = args.at[1];
	if (nr == rt_nr[RT_SHAPE_READV])
		moved.segments = args.at[2];
	if ((nr == rt_nr[RT_SHAPE_RECVMSG] && args.at[2] & MSG_PEEK) ||
	    ((nr == rt_nr[RT_SHAPE_RECVFROM] || nr == rt_nr[RT_SHAPE_RECVMMSG]) &&
	     args.at[3] & MSG_PEEK))
		return 0;
	if (nr == rt_nr[RT_SHAPE_RECVMMSG]) {
		/* on a stream socket, one message is the rule */
		bpf_probe_read_user(&bytes, sizeof(bytes),
				    (void *)args.at[1] +
					    __builtin_offsetof(struct mmsghdr, msg_len));
		moved.bytes = bytes;
	}
	if ((nr == rt_nr[RT_SHAPE_RECVMSG] || nr == rt_nr[RT_SHAPE_RECVMMSG]) &&
	    !message_read(args.at[1], &moved))
		return 0;
	received(id, container, &moved);
	return 0;
}

static __always_inline void begin(u32 fd, u8 direction, u64 container)
{
	struct file *file = task_file(fd);
	struct stream_key key;
	struct sock *sk;

	if (!file || (file_key(file, &key) & S_IFMT) != S_IFSOCK)
		return;
	sk = file_sock(file);
	if (!sk)
		return;
	conn_starts(sk, key.inode, direction, container);
}

SEC("tp")
int rt_exit_accept(struct syscall_exit *ctx)
{
	u64 container = container_called(bpf_get_current_pid_tgid());

	if (container && ctx->ret >= 0)
		begin(ctx->ret, CONN_IN, container);
	return 0;
}

/* An outbound connection, begun or being begun: nothing that arrives on it is a request to us. */
SEC("tp")
int rt_exit_connect(struct syscall_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), container = container_called(id);
	struct args args;

	if (container && args_read(id, &args))
		begin(args.at[0], CONN_OUT, container);
	return 0;
}

/* The program of each call's exit, by its number. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, RT_CALLS);
	__type(key, u32);
	__type(value, u32);
} rt_calls SEC(".maps");

/* A 32-bit call's number is another call's here. */
static __always_inline bool call_is_compat(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(task, thread_info.status) & 2; /* TS_COMPAT */
#else
	return BPF_CORE_READ(task, thread_info.flags) & (1 << 22); /* _TIF_32BIT */
#endif
}

SEC("tp/raw_syscalls/sys_exit")
int rt_exit(struct syscall_exit *ctx)
{
	if (ctx->nr < RT_CALLS && !call_is_compat())
		bpf_tail_call(ctx, &rt_calls, ctx->nr);
	return 0;
}
