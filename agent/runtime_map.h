/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime_map: what the kernel side is told about runtimes: the probes in user space, rt_runtime
 * and rt_mapped. All return 0 or negative errno.
 */
#ifndef REQTAP_RUNTIME_MAP_H
#define REQTAP_RUNTIME_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "agent/probe.h"
#include "bpf/event.h"

/* uprobe__attach() of a program by its name. */
int runtime_map__attach(struct probe *probe, const char *program, int fd, uint64_t offset,
			bool at_return);

int runtime_map__set(struct probe *probe, pid_t tgid, enum rt_runtime_kind kind,
		     const struct runtime *runtime);

/* One callback for each process that has a runtime. */
void runtime_map__each(struct probe *probe,
		       void (*fn)(void *ctx, uint32_t tgid, const struct runtimes *runtimes),
		       void *ctx);

/* The file that was mapped is of no interest until then: its next mapping makes no event. */
int runtime_map__ignore(struct probe *probe, const struct event_map *event, uint64_t until_ns);

#endif
