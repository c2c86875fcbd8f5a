// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Goroutines that start goroutines. agent/golang.c finds both places in the runtime's code: the
 * call of newproc1, which has the parent for an argument, and the instruction behind it, which has
 * the new g in the result register. Nothing else runs on the thread between the two.
 */
#include "bpf/http2.bpf.h"
#include "bpf/unit.bpf.h"
#include "bpf/go.bpf.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

/* pid_tgid -> the goroutine that is starting another */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u64);
} rt_go_parent SEC(".maps");

SEC("uprobe")
int rt_go_start(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), parent;
	struct runtime *go = runtime_get(id >> 32, RT_RUNTIME_GO);

	if (!go)
		return 0;
	parent = go_argument(ctx, go->offset[RT_GO_PARENT]);
	bpf_map_update_elem(&rt_go_parent, &id, &parent, BPF_ANY);
	return 0;
}

SEC("uprobe")
int rt_go_started(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), *parent;
	struct unit from = {}, to = unit_goroutine(id >> 32, go_result(ctx));
	u64 request = 0, now = bpf_ktime_get_boot_ns();

	parent = bpf_map_lookup_elem(&rt_go_parent, &id);
	if (parent) {
		from = unit_goroutine(id >> 32, *parent);
		request = unit_request(&from, now);
		bpf_map_delete_elem(&rt_go_parent, &id);
	}
	if (request)
		unit_own(&to, request, 0);
	else
		bpf_map_delete_elem(&rt_owner, &to); /* of the goroutine that had this g before */
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
		go_link_set(id >> 32, g, go_argument(ctx, 0), 0);
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
