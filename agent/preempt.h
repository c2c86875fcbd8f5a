/* SPDX-License-Identifier: Apache-2.0 */
/*
 * preempt: may this kernel preempt a task inside a BPF program? Then it skips the program for the
 * other tasks of that CPU until the task goes on (bpf/fprobe.bpf.c).
 */
#ifndef REQTAP_PREEMPT_H
#define REQTAP_PREEMPT_H

#include <stdbool.h>

struct btf;

/* Inside the program of a system call's own tracepoint: since 7.1. */
bool preempt__tracepoints(const struct btf *kernel);

/*
 * Inside a trampoline's program. Where the model is chosen at boot and not told, distributions
 * chose "voluntary" until 7.0 took that model away.
 */
bool preempt__trampolines(const struct btf *kernel);

#endif
