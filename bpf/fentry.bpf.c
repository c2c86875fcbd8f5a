// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The fentry plan by trampolines: the entry and exit of the files' own write and the sockets' own
 * send and receive. Only these pay; io_uring and aio come through here too. The functions and the
 * order of their arguments are the same from 5.10 to 7.2; agent/plan.c loads those that the kernel
 * has, and bpf/fprobe.bpf.c instead where the kernel may preempt itself.
 */
#include "bpf/function.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

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

SEC("fentry/eventfd_write")
int rt_in_eventfd(u64 *ctx)
{
	enter_eventfd();
	return 0;
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

SEC("fexit/vmsplice_to_pipe")
int rt_out_vmspl(u64 *ctx)
{
	unseen((void *)ctx[0], ctx[3]);
	return 0;
}

SEC("fexit/do_sendfile")
int rt_out_sendfile(u64 *ctx)
{
	unseen(task_file(ctx[0]), ctx[5]);
	return 0;
}
