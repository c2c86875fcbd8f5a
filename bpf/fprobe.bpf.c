// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The fentry plan by fprobes, for kernels that preempt themselves.
 *
 * The kernel guards each program against recursion with a counter per CPU, and only pins the task
 * to its CPU meanwhile: a task that is preempted inside a trampoline's program keeps the guard, and
 * on that CPU the program is skipped for every other task until it runs again. Since 7.0 that holds
 * for tracepoints' programs too (a46023d5616e). An fprobe's handler runs with preemption off.
 *
 * One program serves all functions of a shape. At a return only the value is there, so what the
 * exit needs is kept at the entry.
 */
#include "bpf/function.bpf.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

SEC("kprobe.multi/file")
int rt_k_file(struct pt_regs *ctx)
{
	enter_file((void *)PT_REGS_PARM1(ctx), (const void *)PT_REGS_PARM2(ctx));
	return 0;
}

SEC("kretprobe.multi/file")
int rt_kr_file(struct pt_regs *ctx)
{
	exit_file(0, PT_REGS_RC(ctx));
	return 0;
}

SEC("kprobe.multi/send")
int rt_k_send(struct pt_regs *ctx)
{
	enter_message((void *)PT_REGS_PARM1(ctx), (void *)PT_REGS_PARM2(ctx), true);
	return 0;
}

SEC("kprobe.multi/receive")
int rt_k_receive(struct pt_regs *ctx)
{
	if (!(PT_REGS_PARM4(ctx) & MSG_PEEK))
		enter_message((void *)PT_REGS_PARM1(ctx), (void *)PT_REGS_PARM2(ctx), false);
	return 0;
}

SEC("kretprobe.multi/message")
int rt_kr_message(struct pt_regs *ctx)
{
	exit_message((int)PT_REGS_RC(ctx));
	return 0;
}

SEC("kprobe.multi/eventfd")
int rt_k_eventfd(struct pt_regs *ctx)
{
	enter_eventfd();
	return 0;
}

SEC("kprobe.multi/accept")
int rt_k_accept(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight call = { .sk = PT_REGS_PARM2(ctx), .hook = HOOK_ACCEPT };

	if (container_current(id >> 32))
		call_keep(id, &call);
	return 0;
}

SEC("kretprobe.multi/accept")
int rt_kr_accept(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = call_of(HOOK_ACCEPT);

	if (!call)
		return 0;
	if ((int)PT_REGS_RC(ctx) == 0)
		socket_begin((void *)call->sk, CONN_IN);
	bpf_map_delete_elem(&rt_inflight, &id);
	return 0;
}

SEC("kprobe.multi/connect")
int rt_k_connect(struct pt_regs *ctx)
{
	socket_begin((void *)PT_REGS_PARM1(ctx), CONN_OUT);
	return 0;
}

/* do_splice: to its third argument */
SEC("kprobe.multi/splice")
int rt_k_splice(struct pt_regs *ctx)
{
	enter_pages((void *)PT_REGS_PARM3(ctx));
	return 0;
}

/* do_tee: to its second */
SEC("kprobe.multi/tee")
int rt_k_tee(struct pt_regs *ctx)
{
	enter_pages((void *)PT_REGS_PARM2(ctx));
	return 0;
}

SEC("kprobe.multi/vmsplice")
int rt_k_vmsplice(struct pt_regs *ctx)
{
	enter_pages((void *)PT_REGS_PARM1(ctx));
	return 0;
}

SEC("kprobe.multi/sendfile")
int rt_k_sendfile(struct pt_regs *ctx)
{
	enter_pages(task_file(PT_REGS_PARM1(ctx)));
	return 0;
}

SEC("kretprobe.multi/pages")
int rt_kr_pages(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct inflight *call = call_of(HOOK_PAGES);
	s64 ret = PT_REGS_RC(ctx);

	if (!call)
		return 0;
	if (ret > 0)
		write_lost(&call->key, RT_UNSEEN_BYTES, ret);
	bpf_map_delete_elem(&rt_inflight, &id);
	return 0;
}
