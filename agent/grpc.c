/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/grpc.h"

#include <elf.h>
#include <errno.h>
#include "agent/elf.h"
#include "agent/grpc_code.h"

static const char *const functions[] = {
	"grpc_server_request_call",
	"grpc_server_request_registered_call",
	"grpc_completion_queue_next",
	"grpc_call_start_batch",
	"grpc_call_unref",
};

#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

static const struct {
	const char *program;
	bool at_return;
	bool python; /* there alone: C++ counts references by it, and answers what was cancelled */
} hooks[FUNCTIONS] = {
	{ "rt_grpc_ask", false, false },  { "rt_grpc_ask_one", false, false },
	{ "rt_grpc_event", true, false }, { "rt_grpc_batch", false, false },
	{ "rt_grpc_end", false, true },
};

/* A shared library, or a program that kept its symbols; or grpcio's module, which has none. */
static int find(struct elf *elf, uint64_t *ret_vaddrs, bool *ret_python)
{
	struct elf_range range;

	*ret_python = !elf__symbol(elf, "PyInit_cygrpc", &range);
	if (*ret_python)
		return grpc_code__functions(elf, functions, FUNCTIONS, ret_vaddrs) ? -ENOTSUP : 0;
	for (size_t i = 0; i < FUNCTIONS; i++) {
		if (elf__symbol(elf, functions[i], &range))
			return -ENOENT;
		ret_vaddrs[i] = range.vaddr;
	}
	return 0;
}

static int recognise(struct elf *elf, struct runtime_match *ret)
{
	uint64_t vaddrs[FUNCTIONS];
	bool python;
	int err;

	/* the kernel side takes arguments from the stack as x86-64 passes them */
	if (elf__machine(elf) != EM_X86_64)
		return -ENOENT;
	err = find(elf, vaddrs, &python);
	for (size_t i = 0; !err && i < FUNCTIONS; i++) {
		if (hooks[i].python && !python)
			continue;
		ret->probes[ret->probe_count++] = (struct runtime_probe){
			.program = hooks[i].program,
			.vaddr = vaddrs[i],
			.at_return = hooks[i].at_return,
		};
	}
	return err;
}

const struct runtime_kind grpc_runtime = {
	.name = "gRPC",
	.unit = "calls",
	.kind = RT_RUNTIME_GRPC,
	.recognise = recognise,
};
