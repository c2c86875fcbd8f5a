/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan: which programs of the object a plan loads, and where it attaches them. Knows the
 * kernel's functions and tracepoints; the rest of the agent knows only the plan's name.
 */
#ifndef REQTAP_PLAN_H
#define REQTAP_PLAN_H

#include "agent/probe.h"

struct bpf_link;
struct bpf_object;

#define LINKS_MAX 64

struct links {
	struct bpf_link *at[LINKS_MAX];
	unsigned count;
};

/*
 * Marks the programs of `plan` for load, those that this kernel has a function for; those of both
 * plans stay marked. -ENOENT: the kernel lacks what the plan cannot do without.
 */
int plan__choose(struct bpf_object *object, enum probe_plan plan);

/* Attaches the loaded programs; on an error those in *links stay the caller's to destroy. */
int plan__attach(struct bpf_object *object, enum probe_plan plan, struct links *links);

void links__destroy(struct links *links);

#endif
