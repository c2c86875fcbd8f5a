/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * handoff: a request that one thread reads and another works on. Which thread took it from the
 * queue cannot be seen; who writes its response can: that thread worked on it, since it began its
 * job. A job begins where the thread is seen to take up new work:
 *   - a thread that reads for others wakes it from a wait without a time limit;
 *   - it has answered, and gives the connection back: by the eventfd or pipe that wakes its
 *     reader, by epoll_ctl, or by closing it.
 * Nothing else begins one. What a thread writes between its response and the next begin may be
 * the old request's or the next one's, and belongs to neither. A mutex is waited for with
 * FUTEX_WAIT, the interpreter lock with a time limit: neither hands anything over.
 *
 * Lines written before the response wait for it in the agent (agent/handoff.h).
 */
#ifndef REQTAP_HANDOFF_BPF_H
#define REQTAP_HANDOFF_BPF_H

#include "bpf/pool.bpf.h"
#include "bpf/ring.bpf.h"
#include "bpf/unit.bpf.h"

enum job_flags {
	JOB_ANSWERED = 1 << 0, /* and has not given the connection back */
	JOB_DOUBTED = 1 << 1,  /* lines of it wait in the agent */
	JOB_ACCEPTS = 1 << 2,  /* the thread accepts connections */
};

/* What is known of a thread's present job. */
struct job {
	u64 begin_ns; /* 0: not seen */
	u64 line_ns;  /* its first line in doubt; 0: none */
	u64 request;  /* the last one that it answered */
	u64 wait;     /* futex that it waits for; 0: none */
	u64 wait_ns;
	u64 floor_ns; /* requests read before were taken from the queue before the job began */
	u64 met_request;
	u32 flags;
	u32 met; /* enum handoff_met, in the present call */
};

/* pid_tgid -> struct job; emptied as threads end */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct job);
} rt_job __weak SEC(".maps");

struct wake_key {
	u64 address;
	u32 tgid;
	u32 reserved;
};

/* Futex -> when a reader last woke it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct wake_key);
	__type(value, u64);
} rt_wake __weak SEC(".maps");

static const struct job job_none; /* not on the stack: see pool_none */

/* Global: its stack is not its callers'. */
__weak int job_make(u64 id)
{
	if (bpf_map_update_elem(&rt_job, &id, &job_none, BPF_NOEXIST))
		count(RT_JOB_FULL);
	return 0;
}

static __always_inline struct job *job_get(u64 id)
{
	struct job *job = bpf_map_lookup_elem(&rt_job, &id);

	if (job)
		return job;
	job_make(id);
	return bpf_map_lookup_elem(&rt_job, &id);
}

static __always_inline void job_begin(struct job *job, u32 tgid)
{
	struct pool *pool = bpf_map_lookup_elem(&rt_pool, &tgid);

	job->begin_ns = bpf_ktime_get_boot_ns();
	job->line_ns = 0;
	job->floor_ns = pool ? pool->answered_ns : 0;
}

/* The waiting lines of a thread: those since `from` are of `seq`, the others of no request. */
static __always_inline void handoff_settle(u64 id, u64 container, u64 seq, u64 from)
{
	struct job *job = bpf_map_lookup_elem(&rt_job, &id);
	struct event_handoff *event;

	if (!job || !(job->flags & JOB_DOUBTED))
		return;
	job->flags &= ~JOB_DOUBTED;
	event = bpf_ringbuf_reserve(&rt_ring, sizeof(*event), 0);
	if (!event) {
		count(RT_LOST_EVENT);
		return;
	}
	event_begin(&event->head, RT_EVENT_HANDOFF, container, bpf_ktime_get_boot_ns());
	event->seq = seq;
	event->from_ns = from;
	event->tgid = id >> 32;
	event->tid = id;
	ring_submit(event);
}

/* From here on it cannot be told what the thread's lines belong to, until a job begins. */
static __always_inline void job_answers(u64 id, u64 seq)
{
	struct job *job = job_get(id);

	if (!job)
		return;
	job->begin_ns = 0;
	job->request = seq;
	job->flags |= JOB_ANSWERED;
}

/* The reader itself answers: either it serves what it reads, or it sends for its workers. */
static __always_inline void reader_answers(const struct request *request, u64 id, u64 now)
{
	struct unit thread = unit_thread(id >> 32, id);
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, &thread);
	u32 tgid = id >> 32;
	struct pool *pool = bpf_map_lookup_elem(&rt_pool, &tgid);

	if (!owner)
		return;
	if (owner->flags & RT_OWNER_TENTATIVE) {
		owner->flags &= ~RT_OWNER_TENTATIVE;
		owner->flags |= RT_OWNER_PROVEN;
		handoff_settle(id, request->container, request->seq, request->begin_ns);
	}
	if (pool && (owner->flags & (RT_OWNER_LOOP | RT_OWNER_SHARES)) == RT_OWNER_LOOP)
		pool->blurred_ns = now;
	else if (pool)
		job_answers(id, request->seq);
}

/* The reader passes on what it reads: its own lines are of no request. */
static __always_inline void reader_passes(const struct request *request)
{
	struct unit thread = unit_thread(request->tgid, request->tid);
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, &thread);

	if (!owner || owner->request != request->seq)
		return;
	owner->request = 0;
	owner->flags &= ~RT_OWNER_TENTATIVE;
	owner->flags |= RT_OWNER_LOOP | RT_OWNER_PASSES;
	handoff_settle((u64)request->tgid << 32 | request->tid, request->container, 0, 0);
}

/* The current thread answers what another one read. */
static __always_inline void worker_answers(const struct request *request, u64 id, u64 now,
					   u64 read_ns)
{
	struct unit thread = unit_thread(id >> 32, id);
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, &thread);
	struct pool *pool = pool_get(id >> 32);
	struct job *job = job_get(id);
	u64 from;

	reader_passes(request);
	if (!pool || !job)
		return;
	pool->hands_over = 1;
	if (owner && (owner->flags & RT_OWNER_LOOP)) {
		pool->blurred_ns = now;
		return;
	}
	from = job->begin_ns;
	if (from < request->begin_ns) /* at work before the request was read: for something else */
		from = job->line_ns && job->line_ns < request->begin_ns ? 0 : request->begin_ns;
	if (!job->begin_ns || job->begin_ns <= pool->blurred_ns ||
	    pool_lost(pool, job->floor_ns, read_ns))
		from = 0;
	if (pool->answered_ns < request->begin_ns)
		pool->answered_ns = request->begin_ns;
	handoff_settle(id, request->container, from ? request->seq : 0, from);
	job_answers(id, request->seq);
	unit_own(&thread, request->seq, RT_OWNER_HANDOFF);
}

/*
 * The head of the response to `seq` has been sent by the current thread. Where that runs finer
 * units, it is no evidence: goroutines change threads.
 */
static __always_inline void handoff_response(u64 seq, u64 sk)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);
	struct request *request = bpf_map_lookup_elem(&rt_request, &seq);
	u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_boot_ns();

	if (!request || request->tgid != id >> 32 || runtime_get(id >> 32, RT_RUNTIME_GO))
		return;
	pool_finds(id >> 32, seq);
	if (request->tid == (u32)id)
		reader_answers(request, id, now);
	else
		worker_answers(request, id, now, conn ? conn->read_ns : now);
}

/* The current thread has woken a reader, or closed a connection. */
static __always_inline void handoff_gives_back(u64 id)
{
	struct job *job = bpf_map_lookup_elem(&rt_job, &id);

	if (!job || !(job->flags & JOB_ANSWERED) || request_open(job->request))
		return;
	job->flags &= ~JOB_ANSWERED;
	job_begin(job, id >> 32);
}

/*
 * The current thread has read a request. One that accepts connections too, and reads without
 * blocking, may be about to pass it on: what it writes first waits for its first response.
 */
static __always_inline void handoff_reads(u64 id, u64 sk)
{
	struct unit thread = unit_thread(id >> 32, id);
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, &thread);
	struct job *job = bpf_map_lookup_elem(&rt_job, &id);

	if (!owner || runtime_get(id >> 32, RT_RUNTIME_GO))
		return;
	if ((owner->flags & RT_OWNER_LOOP) &&
	    (!(owner->flags & RT_OWNER_SHARES) || (owner->flags & RT_OWNER_PASSES))) {
		pool_get(id >> 32);
		return;
	}
	owner->flags |= RT_OWNER_PARTIAL;
	if (!job)
		return;
	job->begin_ns = 0;
	job->flags &= ~JOB_ANSWERED;
	if ((owner->flags & RT_OWNER_SHARES) ||
	    (!(owner->flags & RT_OWNER_PROVEN) && (job->flags & JOB_ACCEPTS) &&
	     sock_nonblocking(sk)))
		owner->flags |= RT_OWNER_TENTATIVE;
}

/*
 * The current thread has read the last byte of `seq`. Where that is not the one that read its
 * head, it is the reader: a pool's thread may look at a connection and give it back unread.
 */
static __always_inline void handoff_read_end(u64 seq)
{
	struct request *request = bpf_map_lookup_elem(&rt_request, &seq);
	u64 id = bpf_get_current_pid_tgid();
	u32 tgid = id >> 32, tid = id;
	struct owner *owner;
	struct unit thread;

	if (!request || request->tgid != tgid)
		return;
	thread = unit_thread(tgid, request->tid);
	owner = bpf_map_lookup_elem(&rt_owner, &thread);
	if (request->tid != tid)
		request->tid = tid;
	else if (owner && owner->request == seq)
		owner->flags &= ~RT_OWNER_PARTIAL;
	if (owner && owner->request == seq && (owner->flags & RT_OWNER_PARTIAL) &&
	    bpf_map_lookup_elem(&rt_pool, &tgid))
		owner->request = 0;
}

/* What the machine meets in the bytes of a call, for handoff_follow(). */
enum handoff_met {
	HANDOFF_READS = 1 << 0,
	HANDOFF_READ_END = 1 << 1,
	HANDOFF_SENDS = 1 << 2, /* the head of a response, be it an interim one */
	HANDOFF_ANSWERS = 1 << 3,
	HANDOFF_STREAM = 1 << 4, /* what it reads is a stream among others */
};

static __always_inline void handoff_meets(u64 seq, u32 what)
{
	u64 id = bpf_get_current_pid_tgid();
	struct job *job = bpf_map_lookup_elem(&rt_job, &id); /* made before the bytes are read */

	if (!job)
		return;
	if ((what & HANDOFF_READS) || !(job->met & HANDOFF_READS))
		job->met_request = seq;
	job->met |= what;
}

/*
 * After the current thread's call: what it met on `sk`. Not where it is met, since the stacks of
 * functions that call one another may not exceed 512 bytes together.
 */
__weak int handoff_follow(u64 sk)
{
	u64 id = bpf_get_current_pid_tgid(), request;
	struct job *job = bpf_map_lookup_elem(&rt_job, &id);
	u32 met;

	if (!job || !job->met)
		return 0;
	met = job->met;
	request = job->met_request;
	job->met = 0;
	if (met & HANDOFF_STREAM) {
		unit_read_stream(id >> 32, id, request, sk);
		handoff_reads(id, sk);
	} else if (met & HANDOFF_READS) {
		unit_read_request(id >> 32, id, request, sk);
		handoff_reads(id, sk);
	}
	if (met & HANDOFF_READ_END)
		handoff_read_end(request);
	if (met & HANDOFF_SENDS)
		unit_answers(id >> 32, sk);
	if (met & HANDOFF_ANSWERS)
		handoff_response(request, sk);
	return 0;
}

static __always_inline void handoff_accepts(u64 id)
{
	struct job *job = job_get(id);

	if (job)
		job->flags |= JOB_ACCEPTS;
}

/* A thread that reads for others wakes those that wait for `address`. */
static __always_inline void handoff_wakes(u64 id, u64 address)
{
	struct unit thread = unit_thread(id >> 32, id);
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, &thread);
	struct wake_key key = { .address = address, .tgid = id >> 32 };
	u64 now = bpf_ktime_get_boot_ns();

	if (owner && (owner->flags & (RT_OWNER_LOOP | RT_OWNER_TENTATIVE)))
		bpf_map_update_elem(&rt_wake, &key, &now, BPF_ANY);
}

static __always_inline void handoff_sleeps(u64 id, u64 address)
{
	struct job *job = job_get(id);

	if (!job)
		return;
	job->wait = address;
	job->wait_ns = bpf_ktime_get_boot_ns();
}

/* The current thread's wait is over; a handler's own wait, its request unanswered, begins nothing.
 */
static __always_inline void handoff_awakes(u64 id)
{
	struct job *job = bpf_map_lookup_elem(&rt_job, &id);
	struct wake_key key = { .tgid = id >> 32 };
	struct unit thread = unit_thread(id >> 32, id);
	struct owner *owner;
	u64 *woken;

	if (!job || !job->wait)
		return;
	key.address = job->wait;
	job->wait = 0;
	woken = bpf_map_lookup_elem(&rt_wake, &key);
	if (!woken || *woken < job->wait_ns || request_open(job->request))
		return;
	owner = bpf_map_lookup_elem(&rt_owner, &thread);
	if (owner && (owner->flags & RT_OWNER_READER) && request_open(owner->request))
		return;
	job_begin(job, id >> 32);
}

/* No request, but a later event may tell. */
static __always_inline void work_doubt(struct work *work, struct job *job)
{
	work->request = 0;
	work->kind = RT_UNIT_NONE;
	work->doubt = job ? RT_FRAGMENT_DOUBT : 0;
	if (job)
		job->flags |= JOB_DOUBTED;
}

/* What the current thread writes now: may it be kept for the request that its thread knows? */
static __always_inline void handoff_doubt(u64 id, struct work *work)
{
	u32 tgid = id >> 32, flags = work->thread ? work->thread->flags : 0;
	struct pool *pool;
	struct job *job;
	bool open;

	if (work->kind > RT_UNIT_THREAD)
		return;
	if (work->request && (flags & RT_OWNER_HANDOFF)) {
		work->kind = RT_UNIT_HANDOFF;
		return;
	}
	if (work->request && (flags & RT_OWNER_BORN)) {
		work_doubt(work, job_get(id));
		return;
	}
	open = (flags & RT_OWNER_READER) && request_open(work->request);
	if (open && !(flags & (RT_OWNER_PARTIAL | RT_OWNER_TENTATIVE)))
		return;
	pool = bpf_map_lookup_elem(&rt_pool, &tgid);
	if (open && !pool && !(flags & RT_OWNER_TENTATIVE))
		return;
	if (!open && (!pool || (flags & RT_OWNER_LOOP)))
		return;
	job = bpf_map_lookup_elem(&rt_job, &id);
	if (!open && !(flags & RT_OWNER_READER) && !pool->hands_over)
		return; /* inherited, and not from a worker */
	/* answered: the next job may have begun; inherited: from a reader */
	if (!open && !(job && job->begin_ns && pool->hands_over))
		job = 0;
	work_doubt(work, job);
	if (job && !job->line_ns)
		job->line_ns = bpf_ktime_get_boot_ns();
}

/*
 * The current thread ends. One that was born inside a request, and has neither outlived it nor
 * waited for work, has worked for it alone: a pool's thread, born there, goes on to others' work.
 */
static __always_inline void handoff_exits(u64 id, u64 container)
{
	struct unit thread = unit_thread(id >> 32, id);
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, &thread);

	if (owner && (owner->flags & RT_OWNER_BORN))
		handoff_settle(id, container, owner_request(owner, bpf_ktime_get_boot_ns()), 0);
	bpf_map_delete_elem(&rt_owner, &thread);
	bpf_map_delete_elem(&rt_job, &id);
}

#endif
