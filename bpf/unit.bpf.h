/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * unit: who runs now, and which request it works for. A unit that read a request keeps it until
 * it reads another; a descendant keeps it until the response is complete and the grace is over.
 * Owners are checked against the request's state here, at the write: nothing has to be swept.
 */
#ifndef REQTAP_UNIT_BPF_H
#define REQTAP_UNIT_BPF_H

#include "bpf/maps.bpf.h"
#include "bpf/unit_go.bpf.h"
#include "bpf/unit_python.bpf.h"

static __always_inline struct unit unit_thread(u32 tgid, u32 tid)
{
	return (struct unit){ .tgid = tgid, .kind = RT_UNIT_THREAD, .id = tid };
}

static __always_inline bool request_open(u64 seq)
{
	struct request *request = bpf_map_lookup_elem(&rt_request, &seq);

	return request && request->state == RT_REQUEST_OPEN;
}

/* Not answered, or not long ago. */
static __always_inline bool request_fresh(u64 seq, u64 now)
{
	struct request *request = bpf_map_lookup_elem(&rt_request, &seq);

	return request &&
	       (request->state == RT_REQUEST_OPEN || now < request->end_ns + rt_grace_ns);
}

static __always_inline u32 conn_unanswered(const struct conn *conn)
{
	return conn->in.state == HTTP_TWO ? conn->streams : conn->pending_count;
}

/*
 * The request that who serves a connection works on; 0: none, or it cannot be told. `strict`: who
 * answers by itself may still be busy with the request before while the next one is read.
 */
static __always_inline u64 owner_conn_request(const struct owner *owner, u64 now, bool strict)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &owner->sk);

	if (!conn || conn->cookie != owner->cookie || conn_unanswered(conn) > 1)
		return 0;
	if (now < conn->blurred_ns + rt_grace_ns)
		return 0;
	if (owner->request && owner->request == conn->last)
		return request_fresh(conn->last, now) ? conn->last : 0;
	if (!conn_unanswered(conn))
		return request_fresh(conn->last, now) ? conn->last : 0;
	if (strict && conn->previous && request_fresh(conn->previous, now))
		return 0;
	return conn->last;
}

/* The request of an owner, 0 when its time is over. */
static __always_inline u64 owner_request(const struct owner *owner, u64 now)
{
	if (owner->sk)
		return owner_conn_request(owner, now, true);
	if (owner->flags & RT_OWNER_READER)
		return owner->request;
	if (owner->flags & RT_OWNER_HANDOFF) /* a pool's thread goes on to its next job */
		return request_open(owner->request) ? owner->request : 0;
	return request_fresh(owner->request, now) ? owner->request : 0;
}

/* What a unit that works for `seq` passes on to those that it starts. */
static __always_inline u64 request_heritage(u64 seq)
{
	struct request *request = bpf_map_lookup_elem(&rt_request, &seq);

	return request && !request->followed ? seq : 0;
}

static __always_inline u64 unit_request(const struct unit *unit, u64 now)
{
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, unit);

	return owner ? owner_request(owner, now) : 0;
}

static __always_inline void unit_own(const struct unit *unit, u64 request, u32 flags)
{
	struct owner owner = { .request = request, .flags = flags };

	if (bpf_map_update_elem(&rt_owner, unit, &owner, BPF_ANY))
		count(RT_OWNER_FULL);
}

/*
 * A thread or a forked process is born. In the process that reads requests it may be a pool's, and
 * take others' work from its memory: bpf/handoff.bpf.h.
 */
static __always_inline void unit_bears(const struct unit *parent, const struct unit *child,
				       u32 tgid)
{
	u64 seq = unit_request(parent, bpf_ktime_get_boot_ns());
	struct request *request = bpf_map_lookup_elem(&rt_request, &seq);

	if (request)
		unit_own(child, seq, request->tgid == tgid ? RT_OWNER_BORN : 0);
}

/* Another program has none of that memory. */
static __always_inline void unit_executes(void)
{
	u64 id = bpf_get_current_pid_tgid();
	struct unit thread = unit_thread(id >> 32, id);
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, &thread);

	if (owner)
		owner->flags &= ~RT_OWNER_BORN;
}

/* The goroutine, or the thread; the contexts of Python come before. */
static __always_inline struct unit unit_current(u32 tgid, u32 tid)
{
	struct runtime *go = runtime_get(tgid, RT_RUNTIME_GO);

	return go ? unit_goroutine(tgid, go_current(go)) : unit_thread(tgid, tid);
}

/* What the current code works for. */
struct work {
	u64 request;
	struct owner *thread; /* of the thread, where no finer unit knew; NULL: none */
	u8 kind;              /* of the unit that knew: enum rt_unit_kind */
	u8 doubt;             /* RT_FRAGMENT_DOUBT: a later event may tell the request */
};

static __always_inline void unit_work(u32 tgid, u32 tid, u64 now, struct work *ret)
{
	struct runtimes *runtimes = bpf_map_lookup_elem(&rt_runtime, &tgid);
	struct runtime *python = runtime_of(runtimes, RT_RUNTIME_PYTHON);
	struct runtime *go = runtime_of(runtimes, RT_RUNTIME_GO);
	struct unit unit = unit_context(tgid, python ? python_unit(python) : 0);
	struct owner *owner;

	*ret = (struct work){ .request = unit.id ? unit_request(&unit, now) : 0 };
	if (!ret->request) {
		unit = go ? unit_goroutine(tgid, go_current(go)) : unit_thread(tgid, tid);
		owner = bpf_map_lookup_elem(&rt_owner, &unit);
		ret->request = owner ? owner_request(owner, now) : 0;
		ret->thread = go ? 0 : owner;
	}
	ret->kind = ret->request ? unit.kind : RT_UNIT_NONE;
}

#define O_NONBLOCK 04000

static __always_inline bool sock_nonblocking(u64 key)
{
	struct sock *sk = (void *)key;

	/* a TLS object's (bpf/tls.bpf.c): its bytes may come through memory, from any loop */
	if (!(key >> 63))
		return true;
	return BPF_CORE_READ(sk, sk_socket, file, f_flags) & O_NONBLOCK;
}

static __always_inline bool other_connection(u64 a, u64 b)
{
	struct request *one = bpf_map_lookup_elem(&rt_request, &a);
	struct request *two = bpf_map_lookup_elem(&rt_request, &b);

	return one && two && one->cookie != two->cookie;
}

/* A goroutine that reads requests of several connections at a time hands them to others. */
static __always_inline void goroutine_reads(const struct unit *goroutine, u64 request)
{
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, goroutine);
	u32 flags = owner ? owner->flags & RT_OWNER_LOOP : 0;

	if (owner && (owner->flags & RT_OWNER_READER) && request_open(owner->request) &&
	    other_connection(owner->request, request))
		flags |= RT_OWNER_LOOP;
	unit_own(goroutine, flags ? 0 : request, RT_OWNER_READER | flags);
}

/*
 * The same for a thread of Python: its current context is the unit. False: it runs in none.
 *
 * Nothing is kept for ever, as with threads: a context ends without a sign.
 */
static __always_inline bool python_read_request(u32 tgid, u32 tid, u64 request, u64 sk)
{
	struct runtime *python = runtime_get(tgid, RT_RUNTIME_PYTHON);
	u64 context = python ? python_context(python) : 0;
	struct unit unit = unit_context(tgid, context);
	struct owner *owner;

	if (!python)
		return false;
	if (!python_entered(python, context)) {
		python_read(python, (u64)tgid << 32 | tid, context, request);
		return false;
	}
	owner = bpf_map_lookup_elem(&rt_owner, &unit);
	if (owner && owner->sk == sk)
		owner->request = request;
	else
		unit_own(&unit, request, 0);
	return true;
}

struct loop_key {
	u32 tgid;
	u32 fd;
};

struct loop {
	u32 tid; /* who waited last */
	u32 shared;
};

/* Where threads of Java wait for events. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct loop_key);
	__type(value, struct loop);
} rt_loop __weak SEC(".maps");

/* The current thread waits for the events of `fd`: is it one of several that do so in turns? */
static __always_inline bool loop_shared(u32 tgid, u32 tid, u32 fd)
{
	struct loop_key key = { .tgid = tgid, .fd = fd };
	struct loop *loop, begun = { .tid = tid };

	if (!runtime_get(tgid, RT_RUNTIME_JAVA))
		return false;
	loop = bpf_map_lookup_elem(&rt_loop, &key);
	if (!loop) {
		bpf_map_update_elem(&rt_loop, &key, &begun, BPF_ANY);
		return false;
	}
	if (loop->tid != tid)
		loop->shared = 1;
	loop->tid = tid;
	return loop->shared;
}

/*
 * The current code has read the start of `request` on the connection of `sk`.
 *
 * A thread with an event loop reads without blocking and runs many requests' code in turns: which
 * one a line belongs to, only a finer unit knows. It shows itself by waiting for events, or by
 * reading a request while another is unanswered; from then on its lines have no id by thread.
 *
 * Threads of Java that wait for events in turns are none of these: each serves what it read.
 */
static __always_inline void unit_read_request(u32 tgid, u32 tid, u64 request, u64 sk)
{
	struct unit thread = unit_current(tgid, tid);
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, &thread);
	u32 flags = owner ? owner->flags & (RT_OWNER_LOOP | RT_OWNER_PROVEN | RT_OWNER_PASSES |
					    RT_OWNER_SHARES)
			  : 0;

	if (thread.kind == RT_UNIT_GOROUTINE) {
		goroutine_reads(&thread, request);
		return;
	}
	if (sock_nonblocking(sk) && python_read_request(tgid, tid, request, sk))
		flags |= RT_OWNER_LOOP;
	/* one whose body was not there yet may have been left to another thread */
	if (owner && (owner->flags & RT_OWNER_READER) && !(owner->flags & RT_OWNER_PARTIAL) &&
	    request_open(owner->request))
		flags |= RT_OWNER_LOOP | (flags & RT_OWNER_SHARES ? RT_OWNER_PASSES : 0);
	if ((flags & RT_OWNER_PASSES) ||
	    ((flags & RT_OWNER_LOOP) && !(flags & RT_OWNER_SHARES) && sock_nonblocking(sk)))
		request = 0;
	unit_own(&thread, request, RT_OWNER_READER | flags);
}

/*
 * The current code has read the headers of a stream. It reads those of others as well, whatever it
 * is, and so works for none. `request`: the only stream in flight on the connection, else 0.
 */
static __always_inline void unit_read_stream(u32 tgid, u32 tid, u64 request, u64 sk)
{
	struct unit unit = unit_current(tgid, tid);

	if (unit.kind == RT_UNIT_GOROUTINE)
		go_reads_stream(tgid, unit.id, sk);
	else
		python_read_request(tgid, tid, request, sk);
	unit_own(&unit, 0, RT_OWNER_READER | RT_OWNER_LOOP);
}

/* The current code sends the head of a response on `sk`. */
static __always_inline void unit_answers(u32 tgid, u64 sk)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);
	struct runtime *python =
		conn && conn->by_context ? runtime_get(tgid, RT_RUNTIME_PYTHON) : 0;
	struct unit unit = unit_context(tgid, python ? python_unit(python) : 0);
	struct owner *owner = unit.id ? bpf_map_lookup_elem(&rt_owner, &unit) : 0;

	if (owner && owner->sk == sk)
		owner->flags |= RT_OWNER_SENDS;
}

/*
 * The current thread waits for new work: what it has answered is behind it, though its access
 * line, written before this wait, was not. A wait inside a handler (for a client call of its
 * own) ends nothing, since the request is open; but who shares its loop with others, and waits
 * before it has answered, has left the answer to somebody else.
 *
 * `loop`: RT_OWNER_LOOP, and RT_OWNER_SHARES, of a wait for events; else 0.
 */
static __always_inline void unit_waits(u32 tgid, u32 tid, u32 loop)
{
	struct unit thread = unit_thread(tgid, tid);
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, &thread);

	if (loop)
		python_callback_ends((u64)tgid << 32 | tid);
	if (!owner) {
		if (loop)
			unit_own(&thread, 0, loop);
		return;
	}
	owner->flags |= loop;
	if ((loop & RT_OWNER_SHARES) && request_open(owner->request)) {
		owner->request = 0;
		owner->flags |= RT_OWNER_PASSES;
	}
	if (owner->request && (owner->flags & RT_OWNER_READER) && !request_open(owner->request))
		owner->request = 0;
}

/*
 * The current thread waits for another without a time limit. A descendant that does has done its
 * job: a pool thread born inside a request waits so for the next one's.
 */
static __always_inline void unit_parks(u32 tgid, u32 tid)
{
	struct unit thread = unit_thread(tgid, tid);
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, &thread);

	if (owner && !(owner->flags & (RT_OWNER_READER | RT_OWNER_LOOP | RT_OWNER_HANDOFF)))
		bpf_map_delete_elem(&rt_owner, &thread);
}

#endif
