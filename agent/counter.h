/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counter: what the kernel side counts (enum rt_counter of bpf/event.h), in words: the one place
 * that names a loss, for the record that announces it, for status and for metrics.
 */
#ifndef REQTAP_COUNTER_H
#define REQTAP_COUNTER_H

#include <stdint.h>
#include "bpf/event.h"

enum counter_kind {
	COUNTER_WORK, /* what was done */
	COUNTER_LOST, /* log writes or bytes that no record holds */
	COUNTER_LESS, /* lines are whole, and may lack their request id */
};

struct counter {
	const char *name; /* snake case; the unit is its last word where it is not "writes" */
	const char *why;  /* of a loss: "ring full" */
	enum counter_kind kind;
};

/* NULL: not a counter of this contract. */
const struct counter *counter__of(unsigned counter);

struct bpf_object;

/*
 * Sums of rt_counter over CPUs; `ret` has RT_COUNTERS places. RT_SKIPPED is what the kernel tells
 * of the programs of `object`, since 5.12. 0 or negative errno.
 */
int counter__read(int counter_fd, const struct bpf_object *object, uint64_t *ret);

#endif
