/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Ring records: begun and submitted here only, so that each failed reserve is counted and each
 * submit wakes as it should.
 *
 * The agent gives ring space back late (when its lines are durable), so the kernel's own rule,
 * "wake when the consumer has caught up", would never wake it. Instead it arms rt_control before
 * it sleeps, and the first record after that wakes it; a busy agent is never woken.
 */
#ifndef REQTAP_RING_BPF_H
#define REQTAP_RING_BPF_H

#include "bpf/maps.bpf.h"

static __always_inline void event_begin(struct event *event, u16 kind, u64 container, u64 now)
{
	event->kind = kind;
	event->reserved = 0;
	event->cpu = bpf_get_smp_processor_id();
	event->container = container;
	event->time_ns = now;
}

static __always_inline void ring_submit(void *record)
{
	u32 zero = 0;
	struct control *control = bpf_map_lookup_elem(&rt_control, &zero);
	u64 flag = BPF_RB_NO_WAKEUP;

	if (control && control->retired) {
		bpf_ringbuf_discard(record, flag);
		return;
	}
	if (control && control->armed) {
		control->armed = 0; /* two at once both wake: harmless */
		flag = BPF_RB_FORCE_WAKEUP;
	}
	bpf_ringbuf_submit(record, flag);
}

#endif
