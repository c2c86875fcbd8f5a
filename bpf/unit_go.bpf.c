// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Goroutines that start goroutines. agent/golang.c finds the places in the runtime's code: where
 * a go statement's goroutine is put into a queue, on the stack of the thread, whose goroutine is
 * the parent. Where that is not found, and for coroutines, two: the call of newproc1, which has
 * the parent for an argument, and the instruction behind it, which has the new g in the result
 * register. Nothing else runs on the thread between the two.
 */
#include "bpf/http2.bpf.h"
#include "bpf/unit.bpf.h"
#include "bpf/go.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/*
 * A worker that the first request starts for all, or one of a pool that grows, works for other
 * requests too, without a sign. It is told from a goroutine of one request's own by its like: of
 * the goroutines of one function some must have ended. Their g is used again then.
 */
#define GO_ENDED_MIN 2

struct go_function {
	u64 code; /* address of the function's first instruction */
	u32 tgid;
	u32 reserved;
};

struct go_life {
	u32 started; /* for requests */
	u32 ended;   /* of those, as far as was seen */
	u32 ends;    /* they are of the kind that ends: never taken back */
	u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct go_function);
	__type(value, struct go_life);
} rt_go_life SEC(".maps");

/* goroutine -> its function, of those that were started for a request */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct unit);
	__type(value, struct go_function);
} rt_go_born SEC(".maps");

struct go_start {
	u64 parent; /* g */
	struct go_function function;
};

/* pid_tgid -> the goroutine that is starting another, and what that is to run */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct go_start);
} rt_go_parent SEC(".maps");

/* The g is used again: what it ran before has ended. */
static __always_inline void go_ended(const struct unit *goroutine)
{
	struct go_function *function = bpf_map_lookup_elem(&rt_go_born, goroutine), key;
	struct go_life *life;

	if (!function)
		return;
	key = *function;
	life = bpf_map_lookup_elem(&rt_go_life, &key);
	if (life) {
		life->ended++;
		if (life->ended >= GO_ENDED_MIN && life->ended * 2 >= life->started)
			life->ends = 1;
	}
	bpf_map_delete_elem(&rt_go_born, goroutine);
}

/* A request's goroutine starts one of `function`: is that one of the kind that ends? */
static __always_inline bool go_begun(const struct unit *goroutine,
				     const struct go_function *function)
{
	struct go_life *life = bpf_map_lookup_elem(&rt_go_life, function), first = { .started = 1 };

	bpf_map_update_elem(&rt_go_born, goroutine, function, BPF_ANY);
	if (life) {
		life->started++;
		return life->ends;
	}
	bpf_map_update_elem(&rt_go_life, function, &first, BPF_ANY);
	return false;
}

SEC("uprobe")
int rt_go_start(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct runtime *go = runtime_get(id >> 32, RT_RUNTIME_GO);
	struct go_start start = { .function.tgid = id >> 32 };

	if (!go)
		return 0;
	start.parent = go_argument(ctx, go->offset[RT_GO_PARENT]);
	start.function.code = user_u64(go_argument(ctx, 0)); /* a funcval begins with it */
	bpf_map_update_elem(&rt_go_parent, &id, &start, BPF_ANY);
	return 0;
}

/* The goroutine `parent` has started `child`, whose g another may have had before. */
static __always_inline void go_starts(u64 id, u64 parent, u64 child,
				      const struct go_function *function)
{
	struct unit from = unit_goroutine(id >> 32, parent), to = unit_goroutine(id >> 32, child);
	u64 request = parent ? unit_request(&from, bpf_ktime_get_boot_ns()) : 0;

	go_ended(&to);
	if (parent)
		go_link_inherit(id >> 32, parent, child);
	if (request && go_begun(&to, function))
		unit_own(&to, request, 0);
	else
		bpf_map_delete_elem(&rt_owner, &to);
}

SEC("uprobe")
int rt_go_started(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct go_start *start = bpf_map_lookup_elem(&rt_go_parent, &id), began = {};

	if (start)
		began = *start;
	bpf_map_delete_elem(&rt_go_parent, &id);
	go_starts(id, began.parent, go_result(ctx), &began.function);
	return 0;
}

/* runqput(p, new g, …), whose g is to begin at sched.pc */
SEC("uprobe")
int rt_go_queued(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), child = go_argument(ctx, 1), m;
	struct runtime *go = runtime_get(id >> 32, RT_RUNTIME_GO);
	struct go_function function = { .tgid = id >> 32 };

	if (!go)
		return 0;
	m = user_u64(go_current(go) + go->offset[RT_GO_M]);
	function.code = user_u64(child + go->offset[RT_GO_SCHED] + 8);
	go_starts(id, user_u64(m + go->offset[RT_GO_CURG]), child, &function);
	return 0;
}

/*
 * HTTP/2: a connection's goroutine reads the frames, and each stream has a goroutine of its own,
 * whose first function gets the connection's object and the stream's. So its request is known
 * exactly, whatever the order in which they start, and whichever were refused. The members read
 * are the first ones of their structs, in every release of net/http, x/net/http2 and grpc-go so
 * far; a number that is no open stream of that connection is no request.
 */
static __always_inline void go_serves(u64 id, u64 object, u32 stream)
{
	struct runtime *go = runtime_get(id >> 32, RT_RUNTIME_GO);
	struct unit unit = unit_goroutine(id >> 32, go ? go_current(go) : 0);
	struct go_link *link = go_link(id >> 32, object);
	u64 request = 0;

	if (!unit.id)
		return;
	if (link) {
		u64 sk = link->to;
		struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);

		if (conn && conn->cookie == link->cookie)
			request = http2_request(sk, stream);
	}
	if (request)
		unit_own(&unit, request, RT_OWNER_READER);
	else
		bpf_map_delete_elem(&rt_owner, &unit);
}

/* (object *serverConn) readFrames(), (object *http2Server) HandleStreams(…) */
SEC("uprobe")
int rt_go_reader(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct runtime *go = runtime_get(id >> 32, RT_RUNTIME_GO);
	u64 g = go ? go_current(go) : 0;

	if (g)
		go_link_begin(id >> 32, g, go_argument(ctx, 0));
	return 0;
}

/* (object *serverConn) runHandler(rw *responseWriter, …); rw.rws.stream is {object, number, …} */
SEC("uprobe")
int rt_go_handler(struct pt_regs *ctx)
{
	u64 state = user_u64(go_argument(ctx, 1)), stream = state ? user_u64(state) : 0;
	u64 object = go_argument(ctx, 0);

	if (stream && user_u64(stream) == object)
		go_serves(bpf_get_current_pid_tgid(), object, user_u64(stream + 8));
	return 0;
}

/*
 * (*Server) handleStream(t ServerTransport, stream, …): t is (type, object); stream begins with its
 * number, padded to eight bytes, or (from 1.69 on) with a pointer to what does.
 */
SEC("uprobe")
int rt_go_grpc(struct pt_regs *ctx)
{
	u64 number = user_u64(go_argument(ctx, 3));

	if (number >> 32)
		number = user_u64(number);
	go_serves(bpf_get_current_pid_tgid(), go_argument(ctx, 2), number);
	return 0;
}
