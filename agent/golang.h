/* SPDX-License-Identifier: Apache-2.0 */
/*
 * golang: what a Go program must be asked to follow its goroutines: where its threads keep the
 * goroutine that they run, and where one goroutine starts another.
 *
 * A start is seen where the new g is put into a queue: a call, often with a nop before it, which
 * the kernel emulates; any other instruction it would single-step, at three times the price. Where
 * that call is not found, and for coroutines, it is seen at the call of runtime.newproc1 (the
 * parent is an argument) and at the instruction behind it (the new g is the result). Not at
 * newproc1's own return: a return probe replaces the address on a stack that Go moves and unwinds.
 * Only the register calling convention of Go 1.17 is understood; before it, nothing is.
 */
#ifndef REQTAP_GOLANG_H
#define REQTAP_GOLANG_H

#include <stdbool.h>
#include "agent/runtime.h"

#define GOLANG_STARTS 2 /* go statements; coroutines of iter.Pull */
#define GOLANG_STREAMS 8

struct golang_start {
	uint64_t call;  /* address of the instruction */
	uint64_t after; /* and of the one that it returns to */
};

#define GOLANG_RETURNS 16

/* A function and all the instructions where it returns. */
struct golang_span {
	uint64_t entry;
	uint64_t returns[GOLANG_RETURNS];
	unsigned return_count;
};

/* A function that reads HTTP/2 connections, or serves a stream; see bpf/unit_go.bpf.c. */
struct golang_stream {
	const char *program; /* of the kernel side, at its entry */
	uint64_t vaddr;
};

struct golang {
	/* x86-64: the thread's g is at fs base + this; Arm: it is in x28, this is 0 */
	int32_t g_offset;
	/* number of newproc1's argument that is the starting goroutine: 1, or 3 in Go 1.17 */
	unsigned parent_argument;
	struct golang_start starts[GOLANG_STARTS];
	unsigned start_count; /* at least 1 */
	/* x86-64: where the g of a go statement is put into a queue; 0: not found, see starts[0] */
	uint64_t queued;
	uint32_t m, curg, sched; /* offsets, with `queued`: bpf/event.h */
	/* crypto/tls.(*Conn).serverHandshake, Close, Read, Write */
	bool has_tls;
	uint64_t tls_server, tls_close;
	struct golang_span tls_read, tls_write;
	struct golang_stream streams[GOLANG_STREAMS];
	unsigned stream_count;
};

/*
 * -ENOENT: not a Go program. -ENOTSUP: one that is not understood: too old, damaged, or changed by
 * a newer Go. No place is given unless the code there was read and is what it should be.
 */
int golang__inspect(struct elf *elf, struct golang *ret);

/*
 * A Go program that is not understood is one too: its goroutines have no requests, and the
 * threads, which run now one and then another, must not have any.
 */
extern const struct runtime_kind golang_runtime;

#endif
