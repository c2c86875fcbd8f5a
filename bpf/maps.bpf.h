/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The maps and the settings of the kernel side. Each is weak, so that every .bpf.c may include
 * this and the linker keeps one. Names are rt_… and 15 characters at most, since the kernel
 * keeps no more; they carry BTF, so `bpftool map dump` prints them in words.
 */
#ifndef REQTAP_MAPS_BPF_H
#define REQTAP_MAPS_BPF_H

#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "bpf/event.h"
#include "bpf/fastcgi.h"
#include "bpf/http.h"
#include "bpf/http2.h"

/* Settings, written by the agent before load: what is off costs nothing. */
const volatile __weak bool rt_by_cgroup = false;
const volatile __weak __u32 rt_set = 0; /* see struct control */
const volatile __weak __u64 rt_grace_ns = 1000000000;
const volatile __weak __u64 rt_budget = 0; /* bytes a second and container; 0: no limit */
/* Numbers of the architecture's system calls, by enum rt_shape. */
const volatile __weak __u32 rt_nr[RT_SHAPES] = {};
const volatile __weak struct http_ids rt_headers = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} rt_ring __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct control);
} rt_control __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RT_COUNTERS);
	__type(key, u32);
	__type(value, u64);
} rt_counter __weak SEC(".maps");

/* pid_tgid -> the set of programs that took its call; filled while control->handover is set */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u32);
} rt_taken __weak SEC(".maps");

/* cgroup id -> struct container; RT_CONTAINER_RUN alone for `reqtap run`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct container);
} rt_container __weak SEC(".maps");

/*
 * Containers whose first program ran: their streams are registered. Apart from rt_container, whose
 * values the agent replaces whole when it learns a name.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u32);
} rt_started __weak SEC(".maps");

/* `reqtap run`: tgid -> its container. Filled at fork, emptied at exit. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, u64);
} rt_process __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct stream_key);
	__type(value, struct stream);
} rt_stream __weak SEC(".maps");

/* Inner streams come and go with every pipeline of a shell: the oldest are forgotten. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct stream_key);
	__type(value, struct stream);
} rt_inner __weak SEC(".maps");

/* What was lost, by container and reason; those that lost nothing are not in it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct loss_key);
	__type(value, struct loss);
} rt_loss __weak SEC(".maps");

enum inflight_op {
	INFLIGHT_WRITE = 1,   /* to a stream */
	INFLIGHT_SEND = 2,    /* to a connection: a response */
	INFLIGHT_RECEIVE = 3, /* from a connection */
	INFLIGHT_ACCEPT = 4,
	INFLIGHT_SENDFILE = 5, /* to a connection, from a file */
	INFLIGHT_UNSEEN = 6,   /* to a stream, from a file or pipe */
	INFLIGHT_MAP = 7, /* a file is mapped; length and offset are the memory's total and skip */
};

/* Who began a call: of functions that call each other, an exit takes its own entry only. */
enum inflight_hook {
	HOOK_SYSCALL = 0,
	HOOK_FILE = 1,
	HOOK_SOCKET = 2,
	HOOK_ACCEPT = 3,
	HOOK_PAGES = 4, /* splice and its like */
};

/*
 * The user memory of one call, walked piece by piece (bpf/segment.bpf.h). It lives in a map
 * value: on the stack the verifier would follow every value of each step and never end.
 */
struct segments {
	u64 base;  /* the buffer, or the iovec array */
	u64 count; /* of the array; 0: base is the buffer */
	u64 index;
	u64 address;   /* of the segment being walked */
	u64 left;      /* of the segment */
	u64 total;     /* of the call */
	u64 skip;      /* bytes at the start of the array's first segment */
	u32 in_kernel; /* the array is the kernel's copy of it */
	u32 reserved;
};

/* A system call between its entry and its exit. One per thread: they do not nest. */
struct inflight {
	struct segments memory;
	u64 sk;
	u64 container;
	u64 time_ns;
	u64 request;
	struct stream_key key;
	u32 bytes; /* what the call returned */
	u16 chunk;
	u8 op;     /* enum inflight_op */
	u8 stream; /* enum rt_stream_kind */
	u8 inner;
	u8 unit;
	u16 lost_reason;
	u32 lost_writes;
	u32 lost_bytes;
	u8 hook;  /* enum inflight_hook */
	u8 doubt; /* RT_FRAGMENT_DOUBT */
	u8 reserved[2];
};

/* pid_tgid -> struct inflight */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct inflight);
} rt_inflight __weak SEC(".maps");

enum conn_direction {
	CONN_IN = 1,
	CONN_OUT = 2,
};

#define CONN_PENDING 8 /* unanswered requests of a connection (pipelining) */

#define SCAN_BLOCK 128 /* bytes that are read at a time; a multiple of 8 */

/* One stream socket. */
struct conn {
	u64 cookie; /* inode number of the socket: tells a reused address */
	u64 container;
	u8 direction; /* enum conn_direction */
	u8 pending_head;
	u8 pending_count;
	u8 joined; /* its start was not seen */
	u32 tgid;
	u64 pending[CONN_PENDING];        /* requests without a complete response, oldest first */
	u8 pending_is_head[CONN_PENDING]; /* a HEAD request: its response has no body */
	u64 last, previous;               /* the newest request, and the one before */
	u64 read_ns; /* when the newest one had been read wholly, or its head so far */
	u64 vain;    /* reset by the client: the request whose answer will be refused; 0: none */
	u32 reset;
	u32 left; /* the client did, before the newest one's response; bpf/pool.bpf.h */
	struct http in;
	struct http out;
	struct fastcgi fastcgi_in, fastcgi_out;
	struct http2 in2; /* in the state HTTP_TWO */
	struct http2 out2;
	u64 blurred_ns;    /* a stream was reset by the client: it may not have been begun yet */
	u64 block_request; /* that the header block at hand begins */
	u64 pieces;        /* of header blocks, so far */
	u32 last_stream;   /* that was begun */
	u32 streams;       /* without a complete response */
	struct http_found found;
	struct http_found unused; /* of responses */
	struct request draft;     /* the request being begun: a program's stack is too small */
	u32 by_context;           /* contexts of Python serve it, whatever they read */
	u32 reserved;
	u64 block[2][SCAN_BLOCK / 8]; /* received and sent bytes being scanned: likewise */
};

/* struct sock * -> struct conn */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct conn);
} rt_conn __weak SEC(".maps");

/* Listening TCP ports: the direction of connections older than the attach. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct listen_key);
	__type(value, u32);
} rt_listen __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u64);
	__type(value, struct request);
} rt_request __weak SEC(".maps");

/* Sequence number of a stream's request -> the request with its id, as the agent decoded it; for
 * the agent after this one, and for people. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct request);
} rt_h2_id __weak SEC(".maps");

#define HTTP2_STREAMS 256 /* open ones of a connection that are followed; a power of two */

struct http2_streams {
	u64 seq[HTTP2_STREAMS];
	u32 id[HTTP2_STREAMS]; /* 0: none yet */
};

/* Key of rt_conn -> its open streams; made with its first one */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, u64);
	__type(value, struct http2_streams);
} rt_h2_stream __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct unit);
	__type(value, struct owner);
} rt_owner __weak SEC(".maps");

static __always_inline void count_add(u32 counter, u64 n)
{
	u64 *value = bpf_map_lookup_elem(&rt_counter, &counter);

	if (value)
		__sync_fetch_and_add(value, n);
}

static __always_inline void count(u32 counter)
{
	count_add(counter, 1);
}

#endif
