// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The fentry plan: the entry and exit of the files' own write and the sockets' own send and
 * receive. Only these pay; io_uring and aio come through here too. The functions and the order of
 * their arguments are the same from 5.10 to 7.2; agent/probe.c loads those that the kernel has.
 *
 * An entry that finds nothing to do leaves rt_inflight alone: an overlay's write calls that of
 * the file below it, and the exit of the inner must not take the outer's entry. So a file's entry
 * keeps its iocb in `sk`, which the exit compares.
 */
#include "bpf/iter.bpf.h"
#include "bpf/request.bpf.h"
#include "bpf/write.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

#define MSG_PEEK 2

/* First argument of the system call in progress: the descriptor, for all that write. */
static __always_inline u32 syscall_fd(void)
{
	struct pt_regs *regs;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return 1;
	regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(regs, di);
#else
	return BPF_CORE_READ(regs, regs[0]);
#endif
}

static __always_inline void to_stream(struct inflight *call, const struct stream *stream)
{
	bool both = stream->kind == (RT_STREAM_STDOUT | RT_STREAM_STDERR);

	call_to_stream(call, stream, both ? syscall_fd() : 0);
}

static __always_inline void enter_file(struct kiocb *iocb, const struct iov_iter *iter)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight call = { .sk = (u64)iocb, .op = INFLIGHT_WRITE };
	struct stream *stream;

	if (!container_current(id >> 32))
		return;
	file_key(BPF_CORE_READ(iocb, ki_filp), &call.key);
	stream = stream_find(&call.key);
	if (!stream)
		return;
	to_stream(&call, stream);
	if (!iter_segments(iter, &call.memory))
		call.op = INFLIGHT_UNSEEN;
	call_keep(id, &call);
}

static __always_inline void exit_file(u64 iocb, s64 ret)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = bpf_map_lookup_elem(&rt_inflight, &id);

	if (!call || call->sk != iocb)
		return;
	if (ret > 0 && call->op == INFLIGHT_WRITE)
		write_done(call, id, ret);
	else if (ret > 0)
		count_add(RT_UNSEEN_BYTES, ret);
	bpf_map_delete_elem(&rt_inflight, &id);
}

#define FILE_WRITE(name, function)                                                                 \
	SEC("fentry/" function)                                                                    \
	int rt_in_##name(u64 *ctx)                                                                 \
	{                                                                                          \
		enter_file((void *)ctx[0], (const void *)ctx[1]);                                  \
		return 0;                                                                          \
	}                                                                                          \
	SEC("fexit/" function)                                                                     \
	int rt_out_##name(u64 *ctx)                                                                \
	{                                                                                          \
		exit_file(ctx[0], ctx[2]);                                                         \
		return 0;                                                                          \
	}

FILE_WRITE(pipe, "pipe_write")
FILE_WRITE(anon, "anon_pipe_write") /* pipe_write since 6.13 */
FILE_WRITE(fifo, "fifo_pipe_write")
FILE_WRITE(tty, "tty_write")
FILE_WRITE(file, "generic_file_write_iter")
FILE_WRITE(ext4, "ext4_file_write_iter")
FILE_WRITE(shmem, "shmem_file_write_iter") /* generic_… before 6.6 */

/* The stream socket's entry: false when it is neither a log nor an accepted connection. */
static __always_inline bool enter_socket(struct socket *socket, struct inflight *call, bool sent)
{
	u64 container = container_current(bpf_get_current_pid_tgid() >> 32);
	struct file *file;
	struct stream *stream;
	struct conn *conn;
	struct sock *sk;

	if (!container)
		return false;
	file = BPF_CORE_READ(socket, file);
	if (!file || BPF_CORE_READ(socket, type) != SOCK_STREAM)
		return false;
	file_key(file, &call->key);
	stream = sent ? stream_find(&call->key) : 0;
	if (stream) {
		to_stream(call, stream);
		call->op = INFLIGHT_WRITE;
		return true;
	}
	sk = BPF_CORE_READ(socket, sk);
	conn = sk ? conn_get(sk, call->key.inode, container) : 0;
	if (!conn || conn->direction != CONN_IN)
		return false;
	call->sk = (u64)sk;
	call->container = container;
	call->op = sent ? INFLIGHT_SEND : INFLIGHT_RECEIVE;
	return true;
}

static __always_inline void enter_message(struct socket *socket, struct msghdr *message, bool sent)
{
	struct inflight call = {};

	if (!enter_socket(socket, &call, sent))
		return;
	if (!iter_segments(&message->msg_iter, &call.memory))
		call.op = call.op == INFLIGHT_WRITE ? INFLIGHT_UNSEEN : INFLIGHT_SENDFILE;
	call_keep(bpf_get_current_pid_tgid(), &call);
}

static __always_inline void exit_message(s64 ret)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = bpf_map_lookup_elem(&rt_inflight, &id);

	if (!call)
		return;
	if (call->op == INFLIGHT_RECEIVE && ret == 0)
		received_end(call->sk);
	else if (ret <= 0)
		;
	else if (call->op == INFLIGHT_WRITE)
		write_done(call, id, ret);
	else if (call->op == INFLIGHT_SEND || call->op == INFLIGHT_RECEIVE)
		conn_bytes(call, ret, call->op == INFLIGHT_SEND);
	else if (call->op == INFLIGHT_SENDFILE)
		sent_file(call->sk, ret);
	else
		count_add(RT_UNSEEN_BYTES, ret);
	bpf_map_delete_elem(&rt_inflight, &id);
}

#define SOCKET_SEND(name, function)                                                                \
	SEC("fentry/" function)                                                                    \
	int rt_in_##name(u64 *ctx)                                                                 \
	{                                                                                          \
		enter_message((void *)ctx[0], (void *)ctx[1], true);                               \
		return 0;                                                                          \
	}                                                                                          \
	SEC("fexit/" function)                                                                     \
	int rt_out_##name(u64 *ctx)                                                                \
	{                                                                                          \
		exit_message((int)ctx[3]);                                                         \
		return 0;                                                                          \
	}

#define SOCKET_RECEIVE(name, function)                                                             \
	SEC("fentry/" function)                                                                    \
	int rt_in_##name(u64 *ctx)                                                                 \
	{                                                                                          \
		if (!(ctx[3] & MSG_PEEK))                                                          \
			enter_message((void *)ctx[0], (void *)ctx[1], false);                      \
		return 0;                                                                          \
	}                                                                                          \
	SEC("fexit/" function)                                                                     \
	int rt_out_##name(u64 *ctx)                                                                \
	{                                                                                          \
		exit_message((int)ctx[4]);                                                         \
		return 0;                                                                          \
	}

SOCKET_SEND(send4, "inet_sendmsg")
SOCKET_SEND(send6, "inet6_sendmsg")
SOCKET_SEND(sendunix, "unix_stream_sendmsg")
SOCKET_RECEIVE(recv4, "inet_recvmsg")
SOCKET_RECEIVE(recv6, "inet6_recvmsg")
SOCKET_RECEIVE(recvunix, "unix_stream_recvmsg")

/* sendfile to a connection before 6.5; since, it is a send of the kernel's own memory */
SEC("fexit/inet_sendpage")
int rt_out_page(u64 *ctx)
{
	struct inflight call = {};
	s64 ret = ctx[5];

	if (ret > 0 && enter_socket((void *)ctx[0], &call, true) && call.op == INFLIGHT_SEND)
		sent_file(call.sk, ret);
	return 0;
}

static __always_inline void socket_begin(struct socket *socket, u8 direction)
{
	u64 container = container_current(bpf_get_current_pid_tgid() >> 32);
	struct stream_key key;
	struct file *file;
	struct sock *sk;

	if (!container || BPF_CORE_READ(socket, type) != SOCK_STREAM)
		return;
	file = BPF_CORE_READ(socket, file);
	sk = BPF_CORE_READ(socket, sk);
	if (!file || !sk) /* an accept that failed */
		return;
	file_key(file, &key);
	conn_begin(sk, key.inode, direction, container);
}

SEC("fexit/inet_accept")
int rt_out_accept(u64 *ctx)
{
	socket_begin((void *)ctx[1], CONN_IN);
	return 0;
}

SEC("fexit/unix_accept")
int rt_out_acceptu(u64 *ctx)
{
	socket_begin((void *)ctx[1], CONN_IN);
	return 0;
}

SEC("fentry/inet_stream_connect")
int rt_in_connect(u64 *ctx)
{
	socket_begin((void *)ctx[0], CONN_OUT);
	return 0;
}

SEC("fentry/unix_stream_connect")
int rt_in_connectu(u64 *ctx)
{
	socket_begin((void *)ctx[0], CONN_OUT);
	return 0;
}

/* Pages went into a pipe that is a stream: no write of the pipe's own sees them. */
static __always_inline void unseen(struct file *file, s64 bytes)
{
	struct stream_key key;

	if (bytes <= 0 || !file || !container_current(bpf_get_current_pid_tgid() >> 32))
		return;
	if ((file_key(file, &key) & S_IFMT) == S_IFIFO && stream_find(&key))
		count_add(RT_UNSEEN_BYTES, bytes);
}

SEC("fexit/do_splice")
int rt_out_splice(u64 *ctx)
{
	unseen((void *)ctx[2], ctx[6]);
	return 0;
}

SEC("fexit/do_tee")
int rt_out_tee(u64 *ctx)
{
	unseen((void *)ctx[1], ctx[4]);
	return 0;
}

SEC("fexit/do_sendfile")
int rt_out_sendfile(u64 *ctx)
{
	unseen(task_file((void *)bpf_get_current_task(), ctx[0]), ctx[5]);
	return 0;
}
