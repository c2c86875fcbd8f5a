/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc: what /proc says about processes that ran before the agent: who was first, where their
 * output goes, which ports they listen on.
 */
#ifndef REQTAP_PROC_H
#define REQTAP_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_stat {
	pid_t parent;
	uint64_t start_ticks; /* since boot; grows with the order of starting */
};

/* 0 or negative errno; a process that ended is -ENOENT. */
int proc__stat(pid_t tgid, struct proc_stat *ret);

struct proc_stream {
	uint64_t inode;
	dev_t device;
	bool shared_input; /* a pipe or socket: another process may read and relay it */
};

/* Where descriptor `fd` leads, when that carries lines: a pipe, a socket, a file or a terminal.
 * 0; -ENOENT: it does not. */
int proc__stream(pid_t tgid, int fd, struct proc_stream *ret);

/* Calls fn for each TCP port that a socket of the process's network listens on. */
int proc__listening(pid_t tgid, void (*fn)(void *ctx, uint32_t netns, uint16_t port), void *ctx);

/* The ports of a /proc/net/tcp line that is a listener's; 0: it is not. */
uint16_t proc__listening_port(const char *line);

/*
 * The name that the kubelet gave a process's container, by where its termination message is mounted
 * from: …/pods/<UID>/containers/<NAME>/<ID>. 0; -ENOENT: nothing of the kind is mounted.
 */
int proc__pod_container(pid_t tgid, char *ret, size_t size);
/* The same of one line of mountinfo. */
int proc__pod_container_of(const char *line, char *ret, size_t size);

#endif
