/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ground: what the agent stands on, the cgroup tree and the kernel side. Prints what a person is to
 * know of them.
 */
#ifndef REQTAP_GROUND_H
#define REQTAP_GROUND_H

#include "agent/cgroup.h"
#include "agent/probe.h"

/* 0, or negative errno: what is missing was printed. What was made is the caller's, also then. */
int ground__find(const struct probe_config *config, struct cgroup_tree *ret_tree,
		 struct probe **ret_probe);

/* What an agent before this one left, and what outlives this one. */
void ground__say(const struct probe *probe);

#endif
