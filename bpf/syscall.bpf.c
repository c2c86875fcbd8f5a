// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The syscall plan: tracepoints at the entry and exit of the calls that write and receive. It
 * works wherever BPF does; every call of the node pays the tracepoint and one look-up.
 *
 * A program may read no more arguments than its call has, or the kernel refuses the attach: so
 * one program per shape of arguments, attached to each call of that shape (agent/plan.c).
 *
 * Since 7.1 a kernel may preempt the programs at these tracepoints, and then skips them for the
 * other tasks of that CPU (bpf/fprobe.bpf.c says why); at the tracepoints of all system calls it
 * still may not. There the dispatchers below stand in.
 */
#include "bpf/request.bpf.h"
#include "bpf/write.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

#define MSG_PEEK 2

/* Entry of a call that sends `fd` bytes: to a stream, to a connection, or to what is neither. */
static __always_inline void enter_write(u32 fd, u64 base, u64 segments, u8 op)
{
	u64 id = bpf_get_current_pid_tgid(), container = container_current(id >> 32);
	struct inflight call = { .memory = { .base = base, .count = segments }, .op = op };
	struct stream *stream;
	struct file *file;
	u16 mode;

	if (!container)
		return;
	file = task_file((void *)bpf_get_current_task(), fd);
	if (!file)
		return;
	mode = file_key(file, &call.key);
	stream = stream_find(&call.key);
	if (stream) {
		call_to_stream(&call, stream, fd);
		if (op == INFLIGHT_SENDFILE)
			call.op = INFLIGHT_UNSEEN;
	} else if ((mode & S_IFMT) == S_IFSOCK) {
		struct sock *sk = file_sock(file);
		struct conn *conn = sk ? conn_get(sk, call.key.inode, container) : 0;

		if (!conn || conn->direction != CONN_IN)
			return;
		call.sk = (u64)sk;
		call.container = container;
		if (op == INFLIGHT_WRITE)
			call.op = INFLIGHT_SEND;
	} else {
		return;
	}
	call_keep(id, &call);
}

static __always_inline void enter_receive(u32 fd, u64 base, u64 segments, u32 flags)
{
	u64 id = bpf_get_current_pid_tgid(), container = container_current(id >> 32);
	struct inflight call = {
		.memory = { .base = base, .count = segments },
		.op = INFLIGHT_RECEIVE,
		.container = container,
	};
	struct file *file;
	struct conn *conn;
	struct sock *sk;

	if (!container || (flags & MSG_PEEK)) /* what is only looked at is received later */
		return;
	file = task_file((void *)bpf_get_current_task(), fd);
	if (!file || (file_key(file, &call.key) & S_IFMT) != S_IFSOCK)
		return;
	sk = file_sock(file);
	if (!sk)
		return;
	conn = conn_get(sk, call.key.inode, container);
	if (!conn || conn->direction != CONN_IN)
		return;
	call.sk = (u64)sk;
	call_keep(id, &call);
}

/* write, sendto */
SEC("tp")
int rt_enter_write(struct syscall_enter *ctx)
{
	enter_write(ctx->args[0], ctx->args[1], 0, INFLIGHT_WRITE);
	return 0;
}

/* writev, pwritev2 */
SEC("tp")
int rt_enter_writev(struct syscall_enter *ctx)
{
	enter_write(ctx->args[0], ctx->args[1], ctx->args[2], INFLIGHT_WRITE);
	return 0;
}

SEC("tp")
int rt_enter_sendmsg(struct syscall_enter *ctx)
{
	struct user_msghdr message = {};

	if (!container_current(bpf_get_current_pid_tgid() >> 32))
		return 0;
	if (!bpf_probe_read_user(&message, sizeof(message), (void *)ctx->args[1]) &&
	    message.msg_iovlen)
		enter_write(ctx->args[0], (u64)message.msg_iov, message.msg_iovlen, INFLIGHT_WRITE);
	return 0;
}

/* sendfile: to its first argument; splice and tee: to their third */
SEC("tp")
int rt_enter_sendfile(struct syscall_enter *ctx)
{
	enter_write(ctx->args[0], 0, 0, INFLIGHT_SENDFILE);
	return 0;
}

SEC("tp")
int rt_enter_splice(struct syscall_enter *ctx)
{
	enter_write(ctx->args[2], 0, 0, INFLIGHT_SENDFILE);
	return 0;
}

/* tee: to its second argument */
SEC("tp")
int rt_enter_tee(struct syscall_enter *ctx)
{
	enter_write(ctx->args[1], 0, 0, INFLIGHT_SENDFILE);
	return 0;
}

SEC("tp")
int rt_enter_read(struct syscall_enter *ctx)
{
	enter_receive(ctx->args[0], ctx->args[1], 0, 0);
	return 0;
}

SEC("tp")
int rt_enter_readv(struct syscall_enter *ctx)
{
	enter_receive(ctx->args[0], ctx->args[1], ctx->args[2], 0);
	return 0;
}

SEC("tp")
int rt_enter_recvfr(struct syscall_enter *ctx)
{
	enter_receive(ctx->args[0], ctx->args[1], 0, ctx->args[3]);
	return 0;
}

static __always_inline void enter_recvmsg(u32 fd, u64 address, u32 flags)
{
	struct user_msghdr message = {};

	if (!container_current(bpf_get_current_pid_tgid() >> 32))
		return;
	if (!bpf_probe_read_user(&message, sizeof(message), (void *)address) && message.msg_iovlen)
		enter_receive(fd, (u64)message.msg_iov, message.msg_iovlen, flags);
}

SEC("tp")
int rt_enter_recvmsg(struct syscall_enter *ctx)
{
	enter_recvmsg(ctx->args[0], ctx->args[1], ctx->args[2]);
	return 0;
}

/* recvmmsg: on a stream socket, one message is the rule; its length is read at the exit. */
SEC("tp")
int rt_enter_recvmm(struct syscall_enter *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call;

	enter_recvmsg(ctx->args[0], ctx->args[1], ctx->args[3]);
	call = bpf_map_lookup_elem(&rt_inflight, &id);
	if (call)
		call->time_ns = ctx->args[1] + __builtin_offsetof(struct mmsghdr, msg_len);
	return 0;
}

SEC("tp")
int rt_enter_accept(struct syscall_enter *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), container = container_current(id >> 32);
	struct inflight call = { .op = INFLIGHT_ACCEPT, .container = container };

	if (container)
		call_keep(id, &call);
	return 0;
}

static __always_inline void accepted(u32 fd, u64 container)
{
	struct file *file = task_file((void *)bpf_get_current_task(), fd);
	struct stream_key key;
	struct sock *sk;

	if (!file || (file_key(file, &key) & S_IFMT) != S_IFSOCK)
		return;
	sk = file_sock(file);
	if (!sk)
		return;
	conn_begin(sk, key.inode, CONN_IN, container);
	python_accepted(bpf_get_current_pid_tgid(), (u64)sk, key.inode);
}

/* An outbound connection: nothing that arrives on it is a request to us. */
SEC("tp")
int rt_enter_connec(struct syscall_enter *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), container = container_current(id >> 32);
	struct stream_key key;
	struct file *file;
	struct sock *sk;

	if (!container)
		return 0;
	file = task_file((void *)bpf_get_current_task(), ctx->args[0]);
	if (!file || (file_key(file, &key) & S_IFMT) != S_IFSOCK)
		return 0;
	sk = file_sock(file);
	if (sk)
		conn_begin(sk, key.inode, CONN_OUT, container);
	return 0;
}

SEC("tp")
int rt_exit_mmsg(struct syscall_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = bpf_map_lookup_elem(&rt_inflight, &id);
	u32 bytes = 0;

	if (!call)
		return 0;
	if (ctx->ret > 0 && !bpf_probe_read_user(&bytes, sizeof(bytes), (void *)call->time_ns) &&
	    bytes)
		conn_bytes(call, bytes, false);
	bpf_map_delete_elem(&rt_inflight, &id);
	return 0;
}

/* The exit of all the others. */
SEC("tp")
int rt_exit(struct syscall_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = bpf_map_lookup_elem(&rt_inflight, &id);
	s64 ret = ctx->ret;

	if (!call)
		return 0;
	if (call->op == INFLIGHT_ACCEPT && ret >= 0)
		accepted(ret, call->container);
	else if (call->op == INFLIGHT_RECEIVE && ret == 0)
		received_end(call->sk);
	else if (ret <= 0)
		;
	else if (call->op == INFLIGHT_WRITE)
		write_done(call, id, ret);
	else if (call->op == INFLIGHT_SEND)
		conn_bytes(call, ret, true);
	else if (call->op == INFLIGHT_RECEIVE)
		conn_bytes(call, ret, false);
	else if (call->op == INFLIGHT_SENDFILE)
		sent_file(call->sk, ret);
	else if (call->op == INFLIGHT_UNSEEN)
		write_lost(&call->key, RT_UNSEEN_BYTES, ret);
	bpf_map_delete_elem(&rt_inflight, &id);
	return 0;
}

/* The program of each call, by its number; those of exits behind those of entries. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2 * RT_CALLS);
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

SEC("tp/raw_syscalls/sys_enter")
int rt_enter(struct syscall_enter *ctx)
{
	if (ctx->nr < RT_CALLS && !call_is_compat())
		bpf_tail_call(ctx, &rt_calls, ctx->nr);
	return 0;
}

SEC("tp/raw_syscalls/sys_exit")
int rt_leave(struct syscall_exit *ctx)
{
	if (ctx->nr < RT_CALLS && !call_is_compat())
		bpf_tail_call(ctx, &rt_calls, RT_CALLS + ctx->nr);
	return 0;
}
