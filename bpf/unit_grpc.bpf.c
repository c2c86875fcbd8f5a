// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * gRPC's C core, which serves C++ and Python: its calls, by the functions of its C interface
 * (grpc/grpc.h). The thread that reads a call's frames is not the one that works on it, nor need
 * the one be that sends the answer's: whoever holds the transport's lock sends for all. But whoever
 * works on a call says which one it is:
 *   - the program asks for the next call, and gives a tag: grpc_server_request_call();
 *   - grpc_completion_queue_next() returns the tag: there is a call, with its headers, and the
 *     thread works for it until it asks for the next event;
 *   - grpc_call_start_batch() begins to read or to send for a call. In Python it is the thread, or
 *     the task, that works on it, whose first step it is; the status ends the request.
 * C++'s synchronous servers do not ask: the core makes their call objects, inside of which it
 * stores the call and the headers. Their array is known by grpc_metadata_array_init(), the object
 * by being the event's tag, and that both belong together by the call that the thread then begins
 * to serve.
 *
 * A call is a connection with one request (bpf/object.bpf.h).
 */
#include "bpf/object.bpf.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

#define GRPC_HEADERS 64       /* of a call, that are looked at; gRPC's own are not among them */
#define GRPC_OPS 8            /* of a batch: one of each kind at most */
#define GRPC_OBJECT_BYTES 256 /* of C++'s object of a call, in which its array is looked for */
#define GRPC_CALL_BEFORE 64   /* bytes before the array, in which the call is stored */

/* grpc/grpc_types.h, grpc/slice.h; LP64. As of 1.51: while a header had `flags` between its value
 * and what is internal, it was longer: of such a core's headers but the first one is found. */
#define GRPC_OP_COMPLETE 2
#define GRPC_OP_SEND_STATUS_FROM_SERVER 3
#define GRPC_OP_BYTES 80
#define GRPC_METADATA_BYTES 96
#define GRPC_METADATA_VALUE 32 /* a slice, as the key before it */

struct grpc_metadata_array {
	u64 count;
	u64 capacity;
	u64 entries;
};

struct grpc_slice {
	u64 refcount; /* 0: inlined */
	u64 length;   /* the inlined one's is its first byte, and its bytes follow */
	u64 bytes;
	u64 reserved;
};

struct grpc_tag_key {
	u64 tag;
	u32 tgid;
	u32 reserved;
};

/* What an event with the tag will mean. */
struct grpc_tag {
	u64 call;    /* something is done for it; 0: it is a new one */
	u64 call_at; /* and will be stored here, */
	u64 headers; /* with its struct grpc_metadata_array here */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct grpc_tag_key);
	__type(value, struct grpc_tag);
} rt_grpc_tag SEC(".maps");

struct grpc_array_key {
	u64 array;
	u32 tgid;
	u32 reserved;
};

/* Arrays for headers. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct grpc_array_key);
	__type(value, u32);
} rt_grpc_array SEC(".maps");

/* What may be a new call's headers, until the thread begins to serve it; they are moved then. */
struct grpc_new {
	u64 tag;
	u64 at;
	struct grpc_metadata_array array;
};

/* pid_tgid -> struct grpc_new */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct grpc_new);
} rt_grpc_new SEC(".maps");

static __always_inline void grpc_asks(u64 tag, u64 call_at, u64 headers)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct runtime *grpc = runtime_get(tgid, RT_RUNTIME_GRPC);
	struct grpc_tag_key key = { .tag = tag, .tgid = tgid };
	struct grpc_tag value = { .call_at = call_at, .headers = headers };

	if (!grpc)
		return;
	grpc->offset[RT_GRPC_SERVES] = 1;
	bpf_map_update_elem(&rt_grpc_tag, &key, &value, BPF_ANY);
}

/* An argument that is on the stack: the seventh is number 0, above the return address. */
static __always_inline u64 stack_argument(struct pt_regs *ctx, u32 number)
{
	return user_u64(PT_REGS_SP(ctx) + 8 + 8 * number);
}

static __always_inline u64 second_result(struct pt_regs *ctx)
{
#if defined(__TARGET_ARCH_x86)
	return ctx->dx;
#else
	return ctx->regs[1];
#endif
}

/* (server, call, details, headers, queue, queue, tag) */
SEC("uprobe")
int rt_grpc_ask(struct pt_regs *ctx)
{
	grpc_asks(stack_argument(ctx, 0), PT_REGS_PARM2(ctx), PT_REGS_PARM4(ctx));
	return 0;
}

/* (server, method, call, deadline, headers, payload, queue, queue, tag) */
SEC("uprobe")
int rt_grpc_ask_one(struct pt_regs *ctx)
{
	grpc_asks(stack_argument(ctx, 2), PT_REGS_PARM3(ctx), PT_REGS_PARM5(ctx));
	return 0;
}

/* Where a slice's bytes are; none when it cannot be read. */
static __always_inline u64 grpc_bytes(u64 address, u64 *ret_length)
{
	struct grpc_slice slice;

	*ret_length = 0;
	if (bpf_probe_read_user(&slice, sizeof(slice), (void *)address))
		return 0;
	*ret_length = slice.refcount ? slice.length : slice.length & 0xff;
	return slice.refcount ? slice.bytes
			      : address + __builtin_offsetof(struct grpc_slice, length) + 1;
}

/* The hash of a header's name; 0: too long to be one of ours. */
static __always_inline u64 grpc_name(struct conn *conn, u64 entry)
{
	const u8 *name = (const u8 *)conn->block;
	u64 length, address = grpc_bytes(entry, &length), hash = FNV_BASIS;

	if (!length || length > RT_HEADER_NAME_MAX ||
	    bpf_probe_read_user(conn->block, length, (void *)address))
		return 0;
	for (u32 i = 0; i < RT_HEADER_NAME_MAX && i < length; i++)
		hash = http_hash(hash, name[i]);
	return hash;
}

/* One byte of the value in conn->block; 0: what follows does not matter. Global: called from a
 * loop. */
__weak int grpc_value(u64 key, u32 at)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &key);

	if (!conn || at >= sizeof(conn->block))
		return 0;
	http_value_byte(&conn->in, &conn->found, ((const u8 *)conn->block)[at]);
	return conn->in.state != HTTP_SKIP;
}

/* One header of a call. Global: called from a loop. */
__weak int grpc_header(u64 key, u64 entry)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &key);
	u64 length, address;
	u32 i = 0;

	if (!conn || !http__field(&conn->in, &conn->found, grpc_name(conn, entry), &rt_headers))
		return 0;
	address = grpc_bytes(entry + GRPC_METADATA_VALUE, &length);
	if (length > sizeof(conn->block))
		length = sizeof(conn->block);
	if (bpf_probe_read_user(conn->block, length, (void *)address)) {
		count(RT_HEADER_FAULT);
		conn->in.id_bad = 1;
		return 0;
	}
	for (; i < RT_ID_MAX && i < length; i++)
		if (!grpc_value(key, i))
			return 0;
	if (i == RT_ID_MAX && conn->in.header <= HTTP_ID_LAST) /* there may be more */
		conn->in.id_bad = 1;
	return 0;
}

/* There is a call: its request begins. Global: its stack is not its callers'. */
__weak u64 grpc_begins(u64 call, u64 headers, u64 header_count)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u64 key = object_key(tgid, call);
	struct conn *conn;

	object_end(tgid, call); /* one that nobody answered lay there before */
	object_begin(tgid, call);
	for (u32 i = 0; i < GRPC_HEADERS && i < header_count; i++)
		grpc_header(key, headers + i * GRPC_METADATA_BYTES);
	conn = object_conn(tgid, call);
	return conn ? request_enter(conn) : 0;
}

/* The request of a call that the process serves; 0: it is none. */
static __always_inline u64 grpc_request(u32 tgid, u64 call)
{
	struct conn *conn = call ? object_conn(tgid, call) : 0;

	return conn ? conn->last : 0;
}

/* The current thread works for `seq` from here on; 0: for none. */
static __always_inline void grpc_works(u64 id, u64 seq)
{
	struct unit thread = unit_thread(id >> 32, id);
	struct owner *owner = bpf_map_lookup_elem(&rt_owner, &thread);

	if (seq)
		unit_own(&thread, seq,
			 RT_OWNER_HANDOFF | (owner ? owner->flags & RT_OWNER_LOOP : 0));
	else if (owner && (owner->flags & RT_OWNER_HANDOFF))
		owner->request = 0;
}

/* The array in the object at `tag`; 0: there is none. Global: verified once. */
__weak u64 grpc_array_of(u64 tag, u64 distance)
{
	struct grpc_array_key key = { .array = tag + distance,
				      .tgid = bpf_get_current_pid_tgid() >> 32 };

	for (u32 i = 0; i < GRPC_OBJECT_BYTES / 8 && !distance; i++) {
		if (bpf_map_lookup_elem(&rt_grpc_array, &key))
			return key.array;
		key.array += 8;
	}
	return bpf_map_lookup_elem(&rt_grpc_array, &key) ? key.array : 0;
}

/* An event that nobody asked for: a new call, perhaps. */
static __always_inline void grpc_notes(u64 id, u64 tag)
{
	struct runtime *grpc = runtime_get(id >> 32, RT_RUNTIME_GRPC);
	struct grpc_new new = { .tag = tag };

	new.at = grpc ? grpc_array_of(tag, grpc->offset[RT_GRPC_ARRAY]) : 0;
	if (new.at && !bpf_probe_read_user(&new.array, sizeof(new.array), (void *)new.at))
		bpf_map_update_elem(&rt_grpc_new, &id, &new, BPF_ANY);
}

/*
 * The thread begins to serve `call`: the one whose event it was given before, if that is stored
 * beside the array. Its request; 0: it is not. Global: its stack is not its callers'.
 */
__weak u64 grpc_serves_new(u64 call)
{
	u64 id = bpf_get_current_pid_tgid();
	struct grpc_new *kept = bpf_map_lookup_elem(&rt_grpc_new, &id), new;
	struct runtime *grpc = runtime_get(id >> 32, RT_RUNTIME_GRPC);
	bool stored = false;

	if (!kept || !grpc)
		return 0;
	new = *kept;
	bpf_map_delete_elem(&rt_grpc_new, &id);
	for (u32 i = 8; i <= GRPC_CALL_BEFORE; i += 8)
		stored |= user_u64(new.at - i) == call;
	if (!stored)
		return 0;
	grpc->offset[RT_GRPC_SERVES] = 1;
	grpc->offset[RT_GRPC_ARRAY] = new.at - new.tag;
	return grpc_begins(call, new.array.entries, new.array.count);
}

/* The request that the event of `tag_address` is about; 0: none that is known. */
static __always_inline u64 grpc_happens(u32 tgid, u64 tag_address, bool success)
{
	struct grpc_tag_key key = { .tag = tag_address, .tgid = tgid };
	struct grpc_tag *kept = bpf_map_lookup_elem(&rt_grpc_tag, &key), tag;
	struct grpc_metadata_array array;

	if (!kept) {
		grpc_notes(bpf_get_current_pid_tgid(), tag_address);
		return 0;
	}
	tag = *kept;
	bpf_map_delete_elem(&rt_grpc_tag, &key);
	if (tag.call)
		return grpc_request(tgid, tag.call);
	tag.call = success ? user_u64(tag.call_at) : 0;
	if (!tag.call || bpf_probe_read_user(&array, sizeof(array), (void *)tag.headers))
		return 0;
	return grpc_begins(tag.call, array.entries, array.count);
}

/*
 * grpc_completion_queue_next(): the result, a struct of type, success and tag, is small enough for
 * two registers (System V ABI, 3.2.3).
 */
SEC("uretprobe")
int rt_grpc_event(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), seq = 0, first = PT_REGS_RC(ctx);

	if (!runtime_get(id >> 32, RT_RUNTIME_GRPC))
		return 0;
	if ((u32)first == GRPC_OP_COMPLETE)
		seq = grpc_happens(id >> 32, second_result(ctx), first >> 32);
	grpc_works(id, seq);
	return 0;
}

static __always_inline bool grpc_sends_status(u64 ops, u64 op_count)
{
	for (u32 i = 0; i < GRPC_OPS && i < op_count; i++) {
		u32 op;

		if (!bpf_probe_read_user(&op, sizeof(op), (void *)(ops + i * GRPC_OP_BYTES)) &&
		    op == GRPC_OP_SEND_STATUS_FROM_SERVER)
			return true;
	}
	return false;
}

/*
 * Python: the current code takes up the call, be it a task or a pool's thread. In C++ the thread
 * that was given the call's event does, and others may send for calls of others. Global: its stack
 * is not its caller's.
 */
__weak int grpc_takes_up(u64 seq)
{
	u64 id = bpf_get_current_pid_tgid();
	struct runtime *python = runtime_get(id >> 32, RT_RUNTIME_PYTHON);
	struct unit thread = unit_thread(id >> 32, id), context;
	struct owner *owner;

	if (!python)
		return 0;
	context = unit_context(id >> 32, python_unit(python));
	if (context.id) {
		unit_own(&context, seq, 0);
		return 0;
	}
	owner = bpf_map_lookup_elem(&rt_owner, &thread);
	if (!owner || !(owner->flags & RT_OWNER_LOOP))
		grpc_works(id, seq);
	return 0;
}

/* grpc_metadata_array_init(): (array) */
SEC("uprobe")
int rt_grpc_array_at(struct pt_regs *ctx)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32, one = 1;
	struct grpc_array_key key = { .array = PT_REGS_PARM1(ctx), .tgid = tgid };

	if (runtime_get(tgid, RT_RUNTIME_GRPC))
		bpf_map_update_elem(&rt_grpc_array, &key, &one, BPF_ANY);
	return 0;
}

/* (call, operations, count, tag) */
SEC("uprobe")
int rt_grpc_batch(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), call = PT_REGS_PARM1(ctx);
	struct grpc_tag_key key = { .tag = PT_REGS_PARM4(ctx), .tgid = id >> 32 };
	struct grpc_tag tag = { .call = call };
	u64 new = grpc_serves_new(call);
	struct conn *conn = object_conn(id >> 32, call);

	if (!conn)
		return 0;
	if (new)
		grpc_works(id, new);
	bpf_map_update_elem(&rt_grpc_tag, &key, &tag, BPF_ANY);
	grpc_takes_up(conn->last);
	if (grpc_sends_status(PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx)))
		conn_answered(conn, RT_REQUEST_ANSWERED);
	return 0;
}

/* grpc_call_unref: (call), in Python its last. One without a status was cancelled. */
SEC("uprobe")
int rt_grpc_end(struct pt_regs *ctx)
{
	object_end(bpf_get_current_pid_tgid() >> 32, PT_REGS_PARM1(ctx));
	return 0;
}
