/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/golang.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "agent/golang_code.h"
#include "agent/pclntab.h"

#define CODE_MAX 4096 /* of a function that is read; those wanted are a third of it at most */

enum {
	NEWPROC1,
	NEWPROC,
	NEWCORO,
	SIGPANIC0,
	RUNQPUT,
	SYSTEMSTACK,
	TLS_SERVER,
	TLS_CLOSE,
	TLS_READ,
	TLS_WRITE,
	STREAMS,
	FUNCTIONS = STREAMS + GOLANG_STREAMS
};

/*
 * The server's side of HTTP/2, of those that have one: net/http's copy (in a package of its own
 * from Go 1.27 on), the package that it is copied from, and gRPC's. Each has one goroutine that
 * reads a connection, and one for each stream.
 */
static const struct {
	const char *name, *program;
} streams[GOLANG_STREAMS] = {
	{ "net/http.(*http2serverConn).readFrames", "rt_go_reader" },
	{ "net/http.(*http2serverConn).runHandler", "rt_go_handler" },
	{ "net/http/internal/http2.(*serverConn).readFrames", "rt_go_reader" },
	{ "net/http/internal/http2.(*serverConn).runHandler", "rt_go_handler" },
	{ "golang.org/x/net/http2.(*serverConn).readFrames", "rt_go_reader" },
	{ "golang.org/x/net/http2.(*serverConn).runHandler", "rt_go_handler" },
	{ "google.golang.org/grpc/internal/transport.(*http2Server).HandleStreams",
	  "rt_go_reader" },
	{ "google.golang.org/grpc.(*Server).handleStream", "rt_go_grpc" },
};

struct code {
	uint64_t vaddr;
	size_t len;
	uint8_t bytes[CODE_MAX];
};

static int read_code(const struct elf *elf, const struct pclntab_function *function, uint64_t base,
		     struct code *ret)
{
	if (!function->size)
		return -ENOENT;
	ret->vaddr = base + function->entry;
	ret->len = function->size < CODE_MAX ? function->size : CODE_MAX;
	return elf__read(elf, ret->vaddr, ret->bytes, ret->len);
}

static bool begins(const struct code *code, size_t at, const void *bytes, size_t len)
{
	return at <= code->len && len <= code->len - at && !memcmp(code->bytes + at, bytes, len);
}

/* A function that may grow the stack begins by comparing it with the g in its register. */
static bool checks_stack(const struct code *code, uint16_t machine)
{
	static const uint8_t compare[] = { 0x49, 0x3b, 0x66, 0x10 };     /* rsp, 16(r14) */
	static const uint8_t compare_far[] = { 0x4d, 0x3b, 0x66, 0x10 }; /* r12, 16(r14) */
	static const uint8_t address[] = { 0x4c, 0x8d, 0x64, 0x24 };     /* lea n(rsp), r12 */
	static const uint8_t address_far[] = { 0x4c, 0x8d, 0xa4, 0x24 }; /* the same, n wide */
	static const uint8_t load[] = { 0x90, 0x0b, 0x40, 0xf9 };        /* ldr x16, [x28, 16] */

	if (machine == EM_AARCH64)
		return begins(code, 0, load, sizeof(load));
	return begins(code, 0, compare, sizeof(compare)) ||
	       (begins(code, 0, address, sizeof(address)) &&
		begins(code, 5, compare_far, sizeof(compare_far))) ||
	       (begins(code, 0, address_far, sizeof(address_far)) &&
		begins(code, 8, compare_far, sizeof(compare_far)));
}

/* Whether the instruction at `at` calls `target`; *ret_len: its length. */
static bool calls(const struct code *code, size_t at, uint64_t target, uint16_t machine,
		  size_t *ret_len)
{
	uint64_t from = code->vaddr + at;
	uint32_t word;
	int32_t jump;

	if (machine == EM_AARCH64) {
		*ret_len = 4;
		if (at % 4 || code->len - at <= 4)
			return false;
		memcpy(&word, code->bytes + at, 4);
		return word == (0x94000000 | (((target - from) >> 2) & 0x3ffffff)); /* bl */
	}
	*ret_len = 5;
	if (code->len - at <= 5 || code->bytes[at] != 0xe8) /* call rel32 */
		return false;
	memcpy(&jump, code->bytes + at + 1, 4);
	return from + 5 + jump == target;
}

/*
 * The one call of `target` in the code. On x86 the bytes are not decoded: five that are a call to
 * just that address are one, unless two of them are found.
 */
static int find_call(const struct elf *elf, const struct code *code, uint64_t target,
		     struct golang_start *ret)
{
	unsigned found = 0;
	size_t len;

	for (size_t at = 0; at < code->len; at++) {
		if (!calls(code, at, target, elf__machine(elf), &len))
			continue;
		found++;
		*ret = (struct golang_start){ code->vaddr + at, code->vaddr + at + len };
	}
	return found == 1 ? 0 : -ENOTSUP;
}

/*
 * x86-64: runtime.sigpanic0 begins by loading g, so it shows where g is: at a constant offset, or
 * (position independent) through a register. C code in the program may have thread locals too.
 */
static int find_g(const struct elf *elf, const struct code *code, int32_t *ret)
{
	static const uint8_t load[] = { 0x64, 0x4c, 0x8b, 0x34, 0x25 }; /* mov fs:n, r14 */
	static const uint8_t constant[] = { 0x49, 0xc7, 0xc6 };         /* mov n, r14 */
	static const uint8_t through[] = { 0x64, 0x4d, 0x8b, 0x36 };    /* mov fs:(r14), r14 */
	size_t at;

	*ret = 0;
	if (elf__machine(elf) == EM_AARCH64)
		return 0;
	if (begins(code, 0, load, sizeof(load)))
		at = sizeof(load);
	else if (begins(code, 0, constant, sizeof(constant)) &&
		 begins(code, 7, through, sizeof(through)))
		at = sizeof(constant);
	else
		return -ENOTSUP;
	if (code->len < at + 4)
		return -ENOTSUP;
	memcpy(ret, code->bytes + at, 4);
	return *ret < 0 ? 0 : -ENOTSUP; /* thread locals of a program lie below the base */
}

/* The first `mov` or `cmp` so encoded, and the offset that it has in its last bytes. */
static bool find_offset(const struct code *code, const void *bytes, size_t len, size_t width,
			uint32_t *ret)
{
	*ret = 0;
	for (size_t at = 0; at + len + width <= code->len; at++) {
		if (!begins(code, at, bytes, len))
			continue;
		memcpy(ret, code->bytes + at + len, width);
		return *ret < CODE_MAX;
	}
	return false;
}

/*
 * runtime.systemstack is written in assembly, and shows where a g has its m (mov rax+n, rbx), an m
 * its goroutine (cmp rbx+n, rax), and a g its stack pointer (mov rdx+n to rsp, or to rbx before).
 */
static bool find_members(const struct code *code, struct golang *ret)
{
	static const uint8_t m[] = { 0x48, 0x8b, 0x58 }, curg[] = { 0x48, 0x3b, 0x83 };
	static const uint8_t stack[] = { 0x48, 0x8b, 0x62 }, stack_by_bx[] = { 0x48, 0x8b, 0x5a };

	return find_offset(code, m, sizeof(m), 1, &ret->m) &&
	       find_offset(code, curg, sizeof(curg), 4, &ret->curg) &&
	       (find_offset(code, stack, sizeof(stack), 1, &ret->sched) ||
		find_offset(code, stack_by_bx, sizeof(stack_by_bx), 1, &ret->sched));
}

/* In the code of runtime.newproc.func1, behind its call of newproc1: the call of runtime.runqput,
 * or better a nop of five bytes before it, which costs a fourth since 6.18. */
static void find_queue(const struct elf *elf, const struct code *newproc,
		       const struct pclntab_function *functions, uint64_t base, struct golang *ret)
{
	static const uint8_t nop[] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
	struct golang_start call;
	struct code code;
	size_t at;

	if (elf__machine(elf) != EM_X86_64 || !functions[RUNQPUT].size ||
	    find_call(elf, newproc, base + functions[RUNQPUT].entry, &call) ||
	    call.call < ret->starts[0].after ||
	    read_code(elf, &functions[SYSTEMSTACK], base, &code) || !find_members(&code, ret))
		return;
	at = call.call - newproc->vaddr;
	ret->queued = call.call;
	/* with a prefix it would be one of six bytes */
	if (begins(newproc, at - sizeof(nop), nop, sizeof(nop)) &&
	    newproc->bytes[at - sizeof(nop) - 1] != 0x66)
		ret->queued -= sizeof(nop);
}

/* The returns of a function; false: not all are known. */
static bool find_returns(const struct elf *elf, const struct pclntab_function *function,
			 uint64_t base, struct golang_span *ret)
{
	uint32_t offsets[GOLANG_RETURNS];
	struct code code;

	if (function->size > CODE_MAX || read_code(elf, function, base, &code) ||
	    !checks_stack(&code, elf__machine(elf)))
		return false;
	ret->entry = code.vaddr;
	ret->return_count = golang_code__returns(code.bytes, code.len, elf__machine(elf), offsets,
						 GOLANG_RETURNS);
	for (unsigned i = 0; i < ret->return_count; i++)
		ret->returns[i] = code.vaddr + offsets[i];
	return ret->return_count > 0;
}

/* A program without TLS, or with one that is not understood, has none here. */
static void find_tls(const struct elf *elf, const struct pclntab_function *functions, uint64_t base,
		     struct golang *ret)
{
	struct code code;

	if (read_code(elf, &functions[TLS_SERVER], base, &code) ||
	    !checks_stack(&code, elf__machine(elf)))
		return;
	ret->tls_server = code.vaddr;
	if (read_code(elf, &functions[TLS_CLOSE], base, &code) ||
	    !checks_stack(&code, elf__machine(elf)))
		return;
	ret->tls_close = code.vaddr;
	ret->has_tls = find_returns(elf, &functions[TLS_READ], base, &ret->tls_read) &&
		       find_returns(elf, &functions[TLS_WRITE], base, &ret->tls_write);
}

static void find_streams(const struct elf *elf, const struct pclntab_function *functions,
			 uint64_t base, struct golang *ret)
{
	struct code code;

	ret->stream_count = 0;
	for (unsigned i = 0; i < GOLANG_STREAMS; i++) {
		if (read_code(elf, &functions[STREAMS + i], base, &code) ||
		    !checks_stack(&code, elf__machine(elf)))
			continue;
		ret->streams[ret->stream_count++] =
			(struct golang_stream){ streams[i].program, code.vaddr };
	}
}

static int inspect_at(const struct elf *elf, const struct pclntab_function *functions,
		      uint64_t base, struct golang *ret)
{
	uint64_t target = base + functions[NEWPROC1].entry;
	struct code code;
	int err;

	if (read_code(elf, &functions[NEWPROC1], base, &code) ||
	    !checks_stack(&code, elf__machine(elf)))
		return -ENOTSUP;
	if (read_code(elf, &functions[NEWPROC], base, &code) ||
	    !checks_stack(&code, elf__machine(elf)) ||
	    find_call(elf, &code, target, &ret->starts[0]))
		return -ENOTSUP;
	ret->start_count = 1;
	find_queue(elf, &code, functions, base, ret);
	/* Go 1.23 and later; without it a coroutine's g might keep its last request */
	if (functions[NEWCORO].size) {
		err = read_code(elf, &functions[NEWCORO], base, &code);
		if (err || find_call(elf, &code, target, &ret->starts[1]))
			return -ENOTSUP;
		ret->start_count = 2;
	}
	find_streams(elf, functions, base, ret);
	if (read_code(elf, &functions[SIGPANIC0], base, &code))
		return -ENOTSUP;
	find_tls(elf, functions, base, ret);
	return find_g(elf, &code, &ret->g_offset);
}

int golang__inspect(struct elf *elf, struct golang *ret)
{
	struct pclntab_function functions[FUNCTIONS] = {
		[NEWPROC1] = { .name = "runtime.newproc1" },
		[NEWPROC] = { .name = "runtime.newproc.func1" },
		[NEWCORO] = { .name = "runtime.newcoro.func1" },
		[SIGPANIC0] = { .name = "runtime.sigpanic0" },
		[RUNQPUT] = { .name = "runtime.runqput" },
		[SYSTEMSTACK] = { .name = "runtime.systemstack.abi0" },
		[TLS_SERVER] = { .name = "crypto/tls.(*Conn).serverHandshake" },
		[TLS_CLOSE] = { .name = "crypto/tls.(*Conn).Close" },
		[TLS_READ] = { .name = "crypto/tls.(*Conn).Read" },
		[TLS_WRITE] = { .name = "crypto/tls.(*Conn).Write" },
	};
	uint64_t bases[PCLNTAB_BASES];
	struct pclntab table;
	unsigned count;
	int err = pclntab__find(elf, &table);

	if (err)
		return err;
	for (unsigned i = 0; i < GOLANG_STREAMS; i++)
		functions[STREAMS + i].name = streams[i].name;
	err = pclntab__functions(elf, &table, functions, FUNCTIONS);
	if (err)
		return err == -ENOMEM ? err : -ENOTSUP;
	*ret = (struct golang){ .parent_argument = table.layout == PCLNTAB_1_16 ? 3 : 1 };
	count = pclntab__bases(elf, &table, bases);
	err = -ENOTSUP;
	for (unsigned i = 0; i < count && err; i++)
		err = inspect_at(elf, functions, bases[i], ret);
	return err;
}

/* src/debug/buildinfo: magic, and from Go 1.18 on the version's length and text at 32. */
static void read_version(struct elf *elf, char *ret, size_t size)
{
	uint8_t bytes[64];
	struct elf_range range;

	snprintf(ret, size, "%s", "of unknown version");
	if (elf__section(elf, ".go.buildinfo", &range) ||
	    elf__read(elf, range.vaddr, bytes, sizeof(bytes)) ||
	    memcmp(bytes, "\xff Go buildinf:", 14) != 0 || !(bytes[15] & 2) || bytes[32] > 31)
		return;
	snprintf(ret, size, "%.*s", bytes[32], bytes + 33);
}

static bool is_go(struct elf *elf)
{
	struct elf_range range;

	return !elf__section(elf, ".go.buildinfo", &range) ||
	       !elf__section(elf, ".note.go.buildid", &range);
}

/* Streams, starts and their ends, and of crypto/tls two entries with their returns, begin and end.
 */
_Static_assert(GOLANG_STREAMS + 2 * GOLANG_STARTS + 2 * (1 + GOLANG_RETURNS) + 2 <=
		       RUNTIME_PROBES_MAX,
	       "a match holds all that is found");

static void add(struct runtime_match *match, const char *program, uint64_t vaddr)
{
	match->probes[match->probe_count++] =
		(struct runtime_probe){ .program = program, .vaddr = vaddr };
}

static void add_span(struct runtime_match *match, const char *at_return,
		     const struct golang_span *span)
{
	add(match, "rt_go_tls_enter", span->entry);
	for (unsigned i = 0; i < span->return_count; i++)
		add(match, at_return, span->returns[i]);
}

static int recognise(struct elf *elf, struct runtime_match *ret)
{
	struct golang golang;
	int err = golang__inspect(elf, &golang);
	size_t len;

	if (err && err != -ENOTSUP && !is_go(elf))
		return err;
	read_version(elf, ret->version, sizeof(ret->version));
	len = strlen(ret->version);
	if (err) {
		snprintf(ret->version + len, sizeof(ret->version) - len, ", not understood");
		return 0;
	}
	ret->process.offset[RT_GO_G] = golang.g_offset;
	ret->process.offset[RT_GO_PARENT] = golang.parent_argument;
	for (unsigned i = 0; i < golang.stream_count; i++)
		add(ret, golang.streams[i].program, golang.streams[i].vaddr);
	if (golang.queued) {
		ret->process.offset[RT_GO_M] = golang.m;
		ret->process.offset[RT_GO_CURG] = golang.curg;
		ret->process.offset[RT_GO_SCHED] = golang.sched;
		add(ret, "rt_go_queued", golang.queued);
	}
	for (unsigned i = golang.queued ? 1 : 0; i < golang.start_count; i++) {
		/* the end first: a start without its end would be taken for the next one's */
		add(ret, "rt_go_started", golang.starts[i].after);
		add(ret, "rt_go_start", golang.starts[i].call);
	}
	if (golang.has_tls) {
		add_span(ret, "rt_go_tls_read", &golang.tls_read);
		add_span(ret, "rt_go_tls_written", &golang.tls_write);
		add(ret, "rt_go_tls_end", golang.tls_close);
		add(ret, "rt_go_tls_begin", golang.tls_server);
	}
	return 0;
}

const struct runtime_kind golang_runtime = {
	.name = "Go",
	.unit = "goroutines",
	.kind = RT_RUNTIME_GO,
	.recognise = recognise,
};
