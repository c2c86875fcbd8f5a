/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The one contract between the kernel side (bpf/) and the agent: the records in the ring, the
 * values of the maps that both read, the counters and the limits.
 *
 * The agent reads ring records in place, so nothing here is packed and all padding is explicit.
 * All times are CLOCK_BOOTTIME nanoseconds; all `tgid`/`tid` are of the initial pid namespace.
 * Change a layout or a meaning: raise RT_CONTRACT. An agent that finds pinned maps of another
 * contract drains and replaces them.
 */
#ifndef REQTAP_EVENT_H
#define REQTAP_EVENT_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#ifndef RT_CONTRACT /* tests build an agent of another one */
#define RT_CONTRACT 10
#endif
/* Layout of the ring's records and of struct request alone: an agent that replaces another
 * contract's maps first reads what is left in their ring, if this number is its own. */
#define RT_RING_CONTRACT 4

/* An id is opaque text. A longer one is counted (RT_ID_TOO_LONG) and is no id: never cut. */
#define RT_ID_MAX 256
/* version "-" trace id "-" parent id "-" flags: W3C Trace Context, section 3.2.2.1 */
#define RT_TRACEPARENT_LEN 55
/* Names of the header list, lower case, zero padded; see rt_headers in bpf/conf.bpf.h. */
#define RT_HEADERS_MAX 8
#define RT_HEADER_NAME_MAX 32

/* Data capacity of the ring's size classes. A write is cut into chunks of the largest class. */
#define RT_CLASS_0 128
#define RT_CLASS_1 256
#define RT_CLASS_2 512
#define RT_CLASS_3 2048
#define RT_CLASS_4 16384
#define RT_CHUNK_MAX RT_CLASS_4
/* What one write() is captured up to; the rest is counted as truncated. */
#define RT_WRITE_CHUNKS 64
#define RT_WRITE_MAX (RT_WRITE_CHUNKS * RT_CHUNK_MAX)

/* With its NUL (kernel/cgroup/cgroup-internal.h, TRACE_CGROUP_PATH_LEN); kubelet's longest are
 * under 300 bytes. */
#define RT_CGROUP_PATH_MAX 1024

/* System call numbers are below. */
#define RT_CALLS 512

enum rt_event_kind {
	RT_EVENT_FRAGMENT = 1, /* struct event_fragment: bytes of one write */
	RT_EVENT_REQUEST = 2,  /* struct event_request: a request begins */
	RT_EVENT_RESPONSE =
		3,           /* struct event_response: its response is complete, or never will be */
	RT_EVENT_EXEC = 4,   /* struct event_process: a program starts in a target */
	RT_EVENT_EXIT = 5,   /* struct event_process: a thread of a target ends */
	RT_EVENT_CGROUP = 6, /* struct event_cgroup: a cgroup is made or removed */
	RT_EVENT_MAP = 7,    /* struct event_map: a file is mapped executable in a target */
	RT_EVENT_HANDOFF = 8, /* struct event_handoff: what a thread's waiting lines belong to */
	RT_EVENT_HEADERS = 9, /* struct event_headers: a piece of an HTTP/2 header block */
};

/* Every ring record begins so. */
struct event {
	__u16 kind; /* enum rt_event_kind */
	__u16 reserved;
	__u32 cpu;
	__u64 container; /* cgroup id (v2) of the target; of `reqtap run`: RT_CONTAINER_RUN */
	__u64 time_ns;
};

#define RT_CONTAINER_RUN 1ULL

enum rt_stream_kind {
	RT_STREAM_NONE = 0,
	RT_STREAM_STDOUT = 1,
	RT_STREAM_STDERR = 2, /* stdout and stderr on one inode: the descriptor number decides */
};

/* How the kernel found the owner of the writing unit. Finer kinds are tried first. */
enum rt_unit_kind {
	RT_UNIT_NONE = 0, /* no owner */
	RT_UNIT_THREAD = 1,
	RT_UNIT_PYTHON = 2, /* a CPython context */
	RT_UNIT_GOROUTINE = 3,
	RT_UNIT_STREAM = 4,  /* an HTTP/2 stream, see bpf/http2.bpf.h */
	RT_UNIT_HANDOFF = 5, /* a thread that writes the response, see bpf/handoff.bpf.h */
};

enum rt_fragment_flags {
	RT_FRAGMENT_ORIGIN = 1 << 0, /* written to an inner stream: attribution only, no record */
	RT_FRAGMENT_LAST = 1 << 1,   /* the write's last chunk */
	RT_FRAGMENT_TRUNCATED =
		1 << 2,             /* the write was longer than RT_WRITE_MAX; on the last chunk */
	RT_FRAGMENT_DOUBT = 1 << 3, /* no owner yet: an event_handoff of its thread may name one */
};

/*
 * The bytes of one write, or one chunk of it. The chunks of a write carry the same time_ns and
 * are numbered from 0 without gap; a gap means that the ring was full.
 */
struct event_fragment {
	struct event head;
	__u64 inode; /* the stream: (device, inode); device as the kernel's dev_t */
	__u32 device;
	__u32 tgid;
	__u32 tid;
	__u32 write_bytes; /* what the whole write returned, the true count */
	__u64 request;     /* sequence number of the owner; 0: none */
	__u32 lost_writes; /* of this stream so far; a change is announced in order */
	__u32 lost_bytes;  /* likewise; both wrap */
	__u16 lost_reason; /* enum rt_counter of the newest loss */
	__u16 chunk;
	__u8 stream; /* enum rt_stream_kind */
	__u8 unit;   /* enum rt_unit_kind: what found `request` */
	__u8 flags;  /* enum rt_fragment_flags */
	__u8 reserved;
	__u32 len; /* bytes in data */
	__u32 reserved2;
	char data[];
};

enum rt_request_state {
	RT_REQUEST_OPEN = 1,
	RT_REQUEST_ANSWERED = 2, /* the response is complete */
	RT_REQUEST_ABORTED = 3,  /* the connection closed before it was */
};

/* One inbound request: value of rt_request, keyed by its sequence number. */
struct request {
	__u64 seq;    /* > 0, increasing on the node */
	__u64 cookie; /* the connection: its socket's inode number, as `ss -e` shows it */
	__u64 container;
	__u64 begin_ns;
	__u64 end_ns; /* 0 while open */
	__u32 tgid;
	__u32 tid;    /* the thread that read it */
	__u16 state;  /* enum rt_request_state */
	__u16 id_len; /* 0: a request without id; its lines have none, and not an earlier one's */
	__u8 has_traceparent;
	__u8 followed; /* another was read behind it: what it starts may be that one's */
	__u16 reserved;
	__u32 stream; /* HTTP/2 stream: its id is in rt_h2_id, if anywhere; else 0 */
	__u32 reserved2;
	char id[RT_ID_MAX]; /* text, zero padded */
	char traceparent[RT_TRACEPARENT_LEN + 1];
};

struct event_request {
	struct event head;
	struct request request;
};

struct event_response {
	struct event head;
	__u64 seq;
	__u32 tgid; /* the thread that completed it */
	__u32 tid;
	__u32 state; /* enum rt_request_state */
	__u32 reserved;
};

/*
 * The lines of a thread that were in doubt: those written at from_ns or later belong to `seq`, the
 * earlier ones to none; seq 0: none of them has a request.
 */
struct event_handoff {
	struct event head;
	__u64 seq;
	__u64 from_ns;
	__u32 tgid;
	__u32 tid;
};

/*
 * A piece of a received HEADERS or CONTINUATION frame's payload, padding included. The pieces of a
 * connection are numbered from 0 without gap; a gap means that one was lost, or was not sent since
 * its block is too long. The request that a block begins is announced by this alone: the agent
 * decodes its id, before it reads any line that the request's code can write.
 */
struct event_headers {
	struct event head;
	__u64 conn;   /* its key in rt_conn, unique among those that are open */
	__u64 cookie; /* as in struct request */
	__u64 seq;    /* of the request that the block begins, on its last piece; else 0 */
	__u64 number;
	__u32 tgid; /* the thread that read it */
	__u32 tid;
	__u32 stream;
	__u32 frame_bytes; /* of the frame's payload */
	__u32 offset;      /* of this piece in it */
	__u32 len;         /* bytes in data */
	__u8 type;         /* of the frame; RFC 9113, section 6 */
	__u8 flags;        /* likewise */
	__u8 joined;       /* header blocks may have come before number 0 */
	__u8 closed;       /* no piece: the connection is gone */
	__u32 reserved;
	char data[];
};

struct event_process {
	struct event head;
	__u32 tgid;
	__u32 tid;
	__u32 parent_tgid;
	__u32 flags;     /* exec: RT_PROCESS_FIRST; exit: RT_PROCESS_LAST_THREAD */
	__u32 exit_code; /* as wait(2) gives it */
	__u32 reserved;
	char comm[16];
};

enum rt_process_flags {
	RT_PROCESS_FIRST = 1 << 0,       /* the first program of its container */
	RT_PROCESS_LAST_THREAD = 1 << 1, /* the process is gone, not one thread of it */
};

/* A library, mostly; what exec maps is RT_EVENT_EXEC's. `length` is as asked for: not whole pages.
 */
struct event_map {
	struct event head;
	__u64 inode; /* the file: key of rt_mapped */
	__u32 device;
	__u32 tgid;
	__u64 address;
	__u64 length;
	__u64 offset; /* in the file, of the byte at `address` */
};

/*
 * The path is told, since it cannot be asked for: the kernel finds a cgroup by its id only some
 * time after it told of it (cgroup_mkdir() calls kernfs_activate() last), and a short-lived one is
 * gone by then.
 */
struct event_cgroup {
	struct event head; /* container: the cgroup's id */
	__u64 parent;
	__u32 removed; /* 0 made, 1 removed */
	__u32 reserved;
	char path[RT_CGROUP_PATH_MAX]; /* from the root of the hierarchy; "" of a removed one */
};

/* Value of rt_container, keyed by cgroup id (RT_CONTAINER_RUN for `reqtap run`). */
enum rt_container_flags {
	RT_CONTAINER_CAPTURE = 1 << 0,  /* its writes are log writes */
	RT_CONTAINER_CHILDREN = 1 << 1, /* cgroups made under it become targets at once */
};

struct container {
	__u32 flags;
	__u32 reserved;
	__u64 id;        /* the container that it belongs to: a cgroup below one is no container */
	__u64 budget_ns; /* of the fairness budget: when its second began */
	__u64 budget_bytes; /* and what was logged in it */
};

struct stream_key {
	__u64 inode;
	__u32 device;
	__u32 reserved;
};

/* Key of rt_listen: a TCP port that somebody listens on. */
struct listen_key {
	__u32 netns;
	__u16 port;
	__u16 reserved;
};

/* Value of rt_stream. */
struct stream {
	__u64 container;
	__u8 kind;  /* enum rt_stream_kind; both bits where stdout and stderr are one inode */
	__u8 inner; /* a relay's input: fragments are sent as origin */
	__u16 lost_reason;
	__u32 lost_writes;
	__u32 lost_bytes;
	__u32 reserved;
};

/* Key and value of rt_loss: what a container's streams lost, and why. */
struct loss_key {
	__u64 container;
	__u32 reason; /* enum rt_counter */
	__u32 reserved;
};

struct loss {
	__u64 writes;
	__u64 bytes;
};

/* Key of rt_owner. */
struct unit {
	__u32 tgid;
	__u32 kind; /* enum rt_unit_kind */
	__u64 id;   /* tid, context address, g address */
};

enum rt_owner_flags {
	RT_OWNER_READER = 1 << 0, /* read the request itself; else a descendant */
	RT_OWNER_LOOP = 1 << 1,   /* the thread runs an event loop: it is no unit by itself */
	RT_OWNER_SENDS = 1 << 2,  /* of a connection: it answers by itself, not by what it starts */
	RT_OWNER_HANDOFF = 1 << 3, /* writes the response to what another thread read */
	RT_OWNER_TENTATIVE =
		1 << 4,            /* reader that may pass on what it reads: seen at the response */
	RT_OWNER_PROVEN = 1 << 5,  /* reader that has answered what it read */
	RT_OWNER_PASSES = 1 << 6,  /* reader whose requests others answer */
	RT_OWNER_PARTIAL = 1 << 7, /* reader that has not read all of the request's body */
	RT_OWNER_BORN = 1 << 8,    /* started by the request's process: it may be a pool's thread */
	RT_OWNER_SHARES = 1 << 9,  /* thread that waits for events in turns with others */
};

struct owner {
	__u64 request;
	__u32 flags;
	__u32 reserved;
	/* The connection whose requests it works on, one after the other; `request` is the newest
	 * that it read itself. */
	__u64 sk; /* key of rt_conn; 0: none */
	__u64 cookie;
};

enum rt_runtime_kind {
	RT_RUNTIME_PYTHON,
	RT_RUNTIME_GO,
	RT_RUNTIME_OPENSSL, /* no unit: it shows the requests inside TLS; no offsets */
	RT_RUNTIME_JAVA,    /* threads are its units, also those that share a selector */
	RT_RUNTIME_GRPC,    /* its units are threads, or contexts: it tells which call they serve */
	RT_RUNTIME_KINDS,
};

/* What the kernel side must know of a runtime in one process; `offset` means what its kind says. */
struct runtime {
	__u32 image; /* the agent's number of the file; 0: the process has no such runtime */
	__u32 reserved;
	__u64 address; /* where the walk to the current unit begins */
	__u32 offset[8];
};

/* Value of rt_runtime, keyed by tgid; a forked child has its parent's. */
struct runtimes {
	struct runtime of[RT_RUNTIME_KINDS];
};

/* `offset` of RT_RUNTIME_PYTHON; `address` is that of _PyRuntime. */
enum rt_python_offset {
	RT_PYTHON_INTERPRETER, /* in _PyRuntime: pointer to the main interpreter */
	RT_PYTHON_THREADS,     /* in the interpreter: pointer to the first thread state */
	RT_PYTHON_PREVIOUS,    /* in the thread state, and so on */
	RT_PYTHON_NEXT,
	RT_PYTHON_THREAD_ID, /* pthread_self(): the base of fs */
	RT_PYTHON_CONTEXT,
	RT_PYTHON_ENTERED, /* in the context */
	RT_PYTHON_OUTER,   /* likewise: the context that was current before */
	RT_PYTHON_OFFSETS,
};

/* `offset` of RT_RUNTIME_GO; agent/golang.h. */
enum rt_go_offset {
	RT_GO_G,      /* x86-64: of the thread's g from the base of fs, negative */
	RT_GO_PARENT, /* number of newproc1's argument that is the parent; 0: not understood */
	RT_GO_M,      /* in a g: its thread's m; this and the next for rt_go_queued */
	RT_GO_CURG,   /* in an m: the goroutine of the thread, whose stack it has left */
	RT_GO_SCHED,  /* in a g: its stack pointer and program counter while it does not run */
};

/* `offset` of RT_RUNTIME_GRPC. */
enum rt_grpc_offset {
	RT_GRPC_SERVES, /* by the kernel side, 1: the process serves calls */
	RT_GRPC_ARRAY,  /* likewise: where a new call's array lies behind its tag; 0: not known */
};

/* Index of rt_nr: calls whose arguments are of a shape of their own. */
enum rt_shape {
	RT_SHAPE_WRITEV,
	RT_SHAPE_PWRITEV2,
	RT_SHAPE_SENDMSG,
	RT_SHAPE_SPLICE,
	RT_SHAPE_TEE,
	RT_SHAPE_READV,
	RT_SHAPE_RECVFROM,
	RT_SHAPE_RECVMSG,
	RT_SHAPE_RECVMMSG,
	RT_SHAPES,
};

/* The one value of rt_control, mapped by the agent. Its first four members never move. */
struct control {
	__u32 contract;      /* RT_CONTRACT of the agent that made the maps */
	__u32 ring_contract; /* RT_RING_CONTRACT of it */
	__u32 retired;       /* other maps have taken over: nothing more is submitted */
	__u32 armed;         /* the agent sleeps: the next record wakes it, once */
	__u64 durable;       /* the lines that end before this position of the ring are durable */
	__u64 from_ns;       /* fragments of before are in the ring that this one replaced */
	__u32 agent_tgid;    /* its own output is never captured */
	__u32 set;           /* of the programs attached, those whose rt_set it is do the work */
	__u32 handover;      /* `set` is about to change, or has just: see container_called() */
	__u32 repointed;     /* rt_repointed has had an entry: until then no exit looks into it */
};

/*
 * Counters of rt_counter, one per-CPU slot each; names for status and metrics in
 * agent/counter.c, in this order. Every loss has one.
 */
enum rt_counter {
	RT_WRITES, /* log writes captured */
	RT_WRITE_BYTES,
	RT_ORIGIN_WRITES, /* of inner streams */
	RT_REQUESTS,      /* begun */
	RT_REQUESTS_WITHOUT_ID,
	RT_RESPONSES,       /* completed */
	RT_LOST_RING,       /* writes (or their rest) lost: ring full */
	RT_LOST_FAULT,      /* user memory not readable after the write */
	RT_LOST_INFLIGHT,   /* more threads inside write() than rt_write holds */
	RT_LOST_BUDGET,     /* the container's budget was used up */
	RT_TRUNCATED_BYTES, /* beyond RT_WRITE_MAX of one write */
	RT_UNSEEN_BYTES,    /* spliced, sent or tee'd into a stream: no user buffer to read */
	RT_SEGMENTS,        /* writes whose rest lay in more segments than are walked */
	RT_LOST_EVENT,      /* request, response, process events: ring full */
	RT_ID_TOO_LONG,
	RT_HEADER_FAULT, /* a received header could not be read: its request has no id */
	RT_CONN_FULL,    /* tables at their bound */
	RT_REQUEST_FULL,
	RT_OWNER_FULL,
	RT_STREAM_FULL,
	RT_PROCESS_FULL,
	RT_RUNTIME_FULL,
	RT_HTTP2_LOST,  /* HTTP/2 connections that break the rules of framing, or were too fast */
	RT_HTTP2_FLOOD, /* header blocks that are too long to be looked at */
	RT_HTTP2_FULL,  /* streams beyond those that are followed, of one connection or of all */
	RT_JOB_FULL,    /* threads whose jobs are not followed: no hand-off to them */
	RT_CONTAINER_FULL,
	RT_SKIPPED, /* runs that the kernel skipped, its own guard against recursion: what they
		       would have captured is not known. The kernel counts them with each program */
	RT_COUNTERS,
};

_Static_assert(sizeof(struct event) == 24, "ring layout");
_Static_assert(sizeof(struct event_fragment) == 80, "ring layout");
_Static_assert(sizeof(struct request) == 376, "map layout");
_Static_assert(sizeof(struct event_request) == 24 + 376, "ring layout");
_Static_assert(sizeof(struct event_response) == 48, "ring layout");
_Static_assert(sizeof(struct event_process) == 64, "ring layout");
_Static_assert(sizeof(struct event_map) == 64, "ring layout");
_Static_assert(sizeof(struct event_handoff) == 48, "ring layout");
_Static_assert(sizeof(struct event_headers) == 88, "ring layout");
_Static_assert(sizeof(struct event_cgroup) == 40 + RT_CGROUP_PATH_MAX, "ring layout");
_Static_assert(sizeof(struct container) == 32, "map layout");
_Static_assert(sizeof(struct stream) == 24, "map layout");
_Static_assert(sizeof(struct loss_key) == 16, "map layout");
_Static_assert(sizeof(struct unit) == 16, "map layout");
_Static_assert(sizeof(struct owner) == 32, "map layout");
_Static_assert(sizeof(struct control) == 48, "map layout");
_Static_assert(sizeof(struct runtime) == 48, "map layout");

#endif
