/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan: which programs of the object a plan loads, and where it attaches them. Knows the
 * kernel's functions and tracepoints; the rest of the agent knows only the plan's name.
 */
#ifndef REQTAP_PLAN_H
#define REQTAP_PLAN_H

#include "agent/probe.h"
#include "bpf/event.h"

struct bpf_link;
struct bpf_object;

#define LINKS_MAX 64

struct links {
	struct bpf_link *at[LINKS_MAX];
	unsigned count;
};

/* How a plan attaches on this kernel: where the kernel may preempt programs, not as elsewhere. */
enum plan_hooks {
	HOOKS_CALLS,       /* syscall plan: the tracepoints of each call */
	HOOKS_ALL_CALLS,   /* syscall plan: the tracepoints of all calls (bpf/syscall.bpf.c) */
	HOOKS_TRAMPOLINES, /* fentry plan */
	HOOKS_FPROBES,     /* fentry plan (bpf/fprobe.bpf.c) */
};

/* Why these, for `doctor`: static words. */
const char *hooks__reason(enum plan_hooks hooks);

/*
 * Marks the programs of `plan` for load, those that this kernel has a function for; those of both
 * plans stay marked. On an error *ret_what says, in static words, what the kernel lacks.
 */
int plan__choose(struct bpf_object *object, enum probe_plan plan, enum plan_hooks *ret_hooks,
		 const char **ret_what);

/* Attaches the loaded programs; on an error those in *links stay the caller's to destroy. */
int plan__attach(struct bpf_object *object, enum plan_hooks hooks, struct links *links);

/* Each place where the plan attaches; `there`: this kernel has it, and it is attached. */
typedef void (*plan_hook_fn)(void *ctx, const char *name, bool there);
void plan__each(const struct bpf_object *object, enum plan_hooks hooks, plan_hook_fn fn, void *ctx);

void links__destroy(struct links *links);

/* Numbers of this architecture's system calls: what the kernel side has as rt_nr. */
extern const uint32_t plan_numbers[RT_SHAPES];

#endif
