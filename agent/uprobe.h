/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uprobe: attaches programs of the kernel side to functions of files, in every process that maps
 * them. Where the kernel has links for that (BPF_TRACE_UPROBE_MULTI, since 6.6), CAP_BPF and
 * CAP_PERFMON are enough. Otherwise perf events do it, for which the kernel wants CAP_SYS_ADMIN
 * since "perf: Revert to requiring CAP_SYS_ADMIN for uprobes" (6.16; 6.1.146, 5.10.240 …).
 */
#ifndef REQTAP_UPROBE_H
#define REQTAP_UPROBE_H

#include <stdbool.h>
#include <stdint.h>

struct bpf_object;
struct bpf_program;

enum uprobe_way {
	UPROBE_LINK,
	UPROBE_PERF,
};

/* Which way this process may attach, by trying it on its own binary, at a place that nothing
 * executes. 0 with *ret_way, or negative errno: no way, for want of CAP_SYS_ADMIN if -EACCES. */
int uprobe__try(enum uprobe_way *ret_way);

/* Before the load: its programs "uprobe" and "uretprobe" are loaded for the way that is open. */
void uprobe__prepare(struct bpf_object *object);

/* At `offset` of the file `fd`. A descriptor, or negative errno; its close() detaches. */
int uprobe__attach(const struct bpf_program *program, int fd, uint64_t offset, bool at_return);

#endif
