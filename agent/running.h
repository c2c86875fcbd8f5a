/* SPDX-License-Identifier: Apache-2.0 */
/*
 * running: takes up a container that ran before it was known: its streams, its relays' pipes and
 * the ports that it listens on go to the kernel side, which saw neither its start nor its accepts;
 * the runtimes of its processes are followed from now on.
 */
#ifndef REQTAP_RUNNING_H
#define REQTAP_RUNNING_H

#include "agent/cgroup.h"
#include "agent/probe.h"
#include "agent/runtime.h"

#define RUNNING_PROCESSES_MAX 4096 /* of one container that are looked at */

/* Returns its first process, whose fd 1 and 2 are its streams; 0: nothing runs in it. */
pid_t running__take_up(struct probe *probe, struct runtime_table *runtimes,
		       const struct cgroup_tree *tree, uint64_t container, const char *path);

#endif
