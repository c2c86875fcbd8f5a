// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Where threads wait, in both plans: a wait for events or for a connection ends what a thread has
 * answered, a wait for another thread ends what it inherited (bpf/unit.bpf.h). Futexes that are
 * not contended make no system call, so none of this is on a hot path.
 */
#include "bpf/handoff.bpf.h"
#include "bpf/task.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* include/uapi/linux/futex.h */
enum {
	FUTEX_WAIT = 0,
	FUTEX_WAKE = 1,
	FUTEX_REQUEUE = 3,
	FUTEX_CMP_REQUEUE = 4,
	FUTEX_WAKE_OP = 5,
	FUTEX_WAIT_BITSET = 9,
	FUTEX_WAKE_BITSET = 10,
	FUTEX_COMMANDS = 127,
};

static __always_inline bool futex_wakes(u32 command)
{
	return command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET || command == FUTEX_WAKE_OP ||
	       command == FUTEX_REQUEUE || command == FUTEX_CMP_REQUEUE;
}

/* epoll_wait, epoll_pwait, epoll_pwait2 */
SEC("tp/wait")
int rt_wait_epoll(struct syscall_enter *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 loop = RT_OWNER_LOOP;

	if (!container_current(id >> 32))
		return 0;
	if (loop_shared(id >> 32, id, ctx->args[0]))
		loop |= RT_OWNER_SHARES;
	unit_waits(id >> 32, id, loop);
	return 0;
}

/* poll, ppoll, select, pselect6, accept, accept4: of servers and of clients alike */
SEC("tp/wait")
int rt_wait_poll(void *ctx)
{
	u64 id = bpf_get_current_pid_tgid();

	if (container_current(id >> 32))
		unit_waits(id >> 32, id, 0);
	return 0;
}

#define EPOLL_CTL_DEL 2

/* epoll_ctl: who arms a connection again lets go of it */
SEC("tp/wait")
int rt_wait_arm(struct syscall_enter *ctx)
{
	u64 id = bpf_get_current_pid_tgid();

	if (ctx->args[1] != EPOLL_CTL_DEL && container_current(id >> 32))
		handoff_gives_back(id);
	return 0;
}

SEC("tp/wait")
int rt_wait_futex(struct syscall_enter *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 command = ctx->args[1] & FUTEX_COMMANDS;

	if (!container_current(id >> 32))
		return 0;
	if (futex_wakes(command))
		handoff_wakes(id, ctx->args[0]);
	/* the interpreter lock is waited for with a time limit: it hands over nothing */
	if ((command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET) || ctx->args[3])
		return 0;
	unit_parks(id >> 32, id);
	if (command == FUTEX_WAIT_BITSET) /* condition variables, semaphores; not glibc's mutex */
		handoff_sleeps(id, ctx->args[0]);
	return 0;
}

SEC("tp/wait")
int rt_wait_futexed(struct syscall_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid();

	if (container_current(id >> 32))
		handoff_awakes(id);
	return 0;
}
