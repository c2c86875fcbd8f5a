// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Where threads wait, in both plans: a wait for events or for a connection ends what a thread has
 * answered, a wait for another thread ends what it inherited (bpf/unit.bpf.h). Futexes that are
 * not contended make no system call, so none of this is on a hot path.
 */
#include "bpf/task.bpf.h"
#include "bpf/unit.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* include/uapi/linux/futex.h */
enum { FUTEX_WAIT = 0, FUTEX_WAIT_BITSET = 9, FUTEX_COMMANDS = 127 };

static __always_inline int waits(bool event_loop)
{
	u64 id = bpf_get_current_pid_tgid();

	if (container_current(id >> 32))
		unit_waits(id >> 32, id, event_loop);
	return 0;
}

/* epoll_wait, epoll_pwait, epoll_pwait2 */
SEC("tp/wait")
int rt_wait_epoll(void *ctx)
{
	return waits(true);
}

/* poll, ppoll, select, pselect6, accept, accept4: of servers and of clients alike */
SEC("tp/wait")
int rt_wait_poll(void *ctx)
{
	return waits(false);
}

SEC("tp/wait")
int rt_wait_futex(struct syscall_enter *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 command = ctx->args[1] & FUTEX_COMMANDS;

	/* the interpreter lock is waited for with a time limit: it hands over nothing */
	if ((command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET) || ctx->args[3])
		return 0;
	if (container_current(id >> 32))
		unit_parks(id >> 32, id);
	return 0;
}
