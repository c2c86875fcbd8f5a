/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/takeover.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/bpf.h>

#define SETTLE_US 20000 /* programs run for microseconds */
#define TAKEN_MAX 4096  /* entries of rt_taken */

/* It waits for what runs without being preempted on each CPU, as programs do; not on a kernel with
 * CPUs that it must not disturb (nohz_full). */
void takeover__settle(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(SETTLE_US);
}

/* What the take-over before this one left: a thread's next call would be taken for that one. */
static void forget_taken(int fd)
{
	uint64_t id;

	for (unsigned i = 0; i < TAKEN_MAX && !bpf_map_get_next_key(fd, NULL, &id); i++)
		bpf_map_delete_elem(fd, &id);
}

void takeover__begin(struct control *control, int taken_fd, uint32_t set)
{
	forget_taken(taken_fd);
	__atomic_store_n(&control->handover, 1, __ATOMIC_SEQ_CST);
	takeover__settle();
	__atomic_store_n(&control->set, set, __ATOMIC_SEQ_CST);
}

void takeover__end(struct control *control)
{
	takeover__settle();
	__atomic_store_n(&control->handover, 0, __ATOMIC_SEQ_CST);
}
