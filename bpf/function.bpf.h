/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * function: what is done at the entry and exit of the kernel functions that the fentry plan
 * hooks, whether a trampoline calls it (bpf/fentry.bpf.c) or an fprobe (bpf/fprobe.bpf.c).
 *
 * An entry that finds nothing to do leaves rt_inflight alone, and an entry that does keeps which
 * hook it was: a function hooked here may call another, whose exit must not take its entry.
 */
#ifndef REQTAP_FUNCTION_BPF_H
#define REQTAP_FUNCTION_BPF_H

#include "bpf/iter.bpf.h"
#include "bpf/request.bpf.h"
#include "bpf/write.bpf.h"

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
	u64 id = bpf_get_current_pid_tgid(), container = container_either(id >> 32);
	struct inflight call = { .sk = (u64)iocb, .hook = HOOK_FILE, .op = INFLIGHT_WRITE };
	struct stream *stream;
	u16 mode;

	if (!container)
		return;
	mode = file_key(BPF_CORE_READ(iocb, ki_filp), &call.key);
	stream = stream_find(&call.key);
	if (!stream && (mode & S_IFMT) == S_IFIFO &&
	    stream_adopt(call.key.inode, call.key.device, syscall_fd(), container))
		stream = stream_find(&call.key);
	if (!stream) {
		if ((mode & S_IFMT) == S_IFIFO)
			handoff_gives_back(id);
		return;
	}
	to_stream(&call, stream);
	if (!iter_segments(iter, &call.memory))
		call.op = INFLIGHT_UNSEEN;
	call_keep(id, &call);
}

/* The thread's call, when `hook` began it. */
static __always_inline struct inflight *call_of(u8 hook)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = bpf_map_lookup_elem(&rt_inflight, &id);

	return call && call->hook == hook ? call : 0;
}

/* `iocb` 0: not known. An overlay's write calls that of the file below it, with another. */
static __always_inline void exit_file(u64 iocb, s64 ret)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = call_of(HOOK_FILE);

	if (!call || (iocb && call->sk != iocb))
		return;
	if (ret > 0 && call->op == INFLIGHT_WRITE)
		write_done(call, id, ret);
	else if (ret > 0)
		write_lost(&call->key, RT_UNSEEN_BYTES, ret);
	bpf_map_delete_elem(&rt_inflight, &id);
}

/* The stream socket's entry: false when it is neither a log nor an accepted connection. */
static __always_inline bool enter_socket(struct socket *socket, struct inflight *call, bool sent)
{
	u64 container = container_either(bpf_get_current_pid_tgid() >> 32);
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
	if (conn && sent && conn->direction != CONN_IN && sock_is_unix(sk))
		handoff_gives_back(bpf_get_current_pid_tgid());
	if (!conn || conn->direction != CONN_IN)
		return false;
	call->sk = (u64)sk;
	call->container = container;
	call->op = sent ? INFLIGHT_SEND : INFLIGHT_RECEIVE;
	return true;
}

static __always_inline void enter_message(struct socket *socket, struct msghdr *message, bool sent)
{
	struct inflight call = { .hook = HOOK_SOCKET };

	if (!enter_socket(socket, &call, sent))
		return;
	if (!iter_segments(&message->msg_iter, &call.memory))
		call.op = call.op == INFLIGHT_WRITE ? INFLIGHT_UNSEEN : INFLIGHT_SENDFILE;
	call_keep(bpf_get_current_pid_tgid(), &call);
}

static __always_inline void exit_message(s64 ret)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = call_of(HOOK_SOCKET);

	if (!call)
		return;
	if (call->op == INFLIGHT_RECEIVE && ret == 0)
		received_end(call->sk);
	else if (ret == -EPIPE || ret == -ECONNRESET)
		sent_in_vain(call->sk, call->key.inode);
	else if (ret <= 0)
		;
	else if (call->op == INFLIGHT_WRITE)
		write_done(call, id, ret);
	else if (call->op == INFLIGHT_SEND || call->op == INFLIGHT_RECEIVE)
		conn_bytes(call, ret, call->op == INFLIGHT_SEND);
	else if (call->op == INFLIGHT_SENDFILE)
		sent_file(call->sk, ret);
	else
		write_lost(&call->key, RT_UNSEEN_BYTES, ret);
	bpf_map_delete_elem(&rt_inflight, &id);
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
	conn_starts(sk, key.inode, direction, container);
}

static __always_inline void enter_eventfd(void)
{
	u64 id = bpf_get_current_pid_tgid();

	if (container_current(id >> 32))
		handoff_gives_back(id);
}

/* Pages go into a pipe that is a stream: no write of the pipe's own sees them. */
static __always_inline bool takes_pages(struct file *file, struct stream_key *ret_key)
{
	if (!file || !container_current(bpf_get_current_pid_tgid() >> 32))
		return false;
	return (file_key(file, ret_key) & S_IFMT) == S_IFIFO && stream_find(ret_key);
}

static __always_inline void unseen(struct file *file, s64 bytes)
{
	struct stream_key key;

	if (bytes > 0 && takes_pages(file, &key))
		write_lost(&key, RT_UNSEEN_BYTES, bytes);
}

static __always_inline void enter_pages(struct file *file)
{
	struct inflight call = { .hook = HOOK_PAGES, .op = INFLIGHT_UNSEEN };

	if (takes_pages(file, &call.key))
		call_keep(bpf_get_current_pid_tgid(), &call);
}

#endif
