/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracepoint: opens a kernel tracepoint as a perf event, mounted tracefs or not.
 *
 * libbpf finds a tracepoint's number only through a tracefs that is mounted at its usual place.
 * Where none is, a detached one is opened (fsopen, Linux 5.2), which nobody else sees.
 */
#ifndef REQTAP_TRACEPOINT_H
#define REQTAP_TRACEPOINT_H

/* A directory descriptor of tracefs, the caller's; negative errno. */
int tracepoint__open_fs(void);

/* A perf event for CATEGORY/NAME, to attach a program to; the caller's; -ENOENT: no such one. */
int tracepoint__open(int tracefs, const char *category, const char *name);

#endif
