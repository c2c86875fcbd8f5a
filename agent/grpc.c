/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/grpc.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include "agent/elf.h"
#include "agent/grpc_code.h"

enum module {
	SHARED = 1 << 0, /* the library, or a program that kept its symbols */
	PYTHON = 1 << 1, /* grpcio's module, which has none */
};

static const struct {
	const char *function;
	const char *program;
	bool at_return;
	unsigned in;
} hooks[] = {
	{ "grpc_server_request_call", "rt_grpc_ask", false, SHARED | PYTHON },
	{ "grpc_server_request_registered_call", "rt_grpc_ask_one", false, SHARED | PYTHON },
	{ "grpc_completion_queue_next", "rt_grpc_event", true, SHARED | PYTHON },
	{ "grpc_call_start_batch", "rt_grpc_batch", false, SHARED | PYTHON },
	/* C++ counts references by it, and answers what was cancelled */
	{ "grpc_call_unref", "rt_grpc_end", false, PYTHON },
	{ "grpc_metadata_array_init", "rt_grpc_array_at", false, SHARED },
};

#define HOOKS (sizeof(hooks) / sizeof(hooks[0]))

/* By their symbols, or by the texts that they trace. */
static int find(struct elf *elf, enum module module, const char *const *names, unsigned count,
		uint64_t *ret_vaddrs)
{
	struct elf_range range;

	if (module == PYTHON)
		return grpc_code__functions(elf, names, count, ret_vaddrs) ? -ENOTSUP : 0;
	for (unsigned i = 0; i < count; i++) {
		if (elf__symbol(elf, names[i], &range))
			return -ENOENT;
		ret_vaddrs[i] = range.vaddr;
	}
	return 0;
}

static int recognise(struct elf *elf, struct runtime_match *ret)
{
	struct elf_range range;
	enum module module = elf__symbol(elf, "PyInit_cygrpc", &range) ? SHARED : PYTHON;
	const char *names[HOOKS];
	uint64_t vaddrs[HOOKS];
	unsigned count = 0;
	int err;

	/* the kernel side takes arguments from the stack as x86-64 passes them */
	if (elf__machine(elf) != EM_X86_64)
		return -ENOENT;
	for (size_t i = 0; i < HOOKS; i++) {
		if (!(hooks[i].in & module))
			continue;
		names[count] = hooks[i].function;
		ret->probes[count++] = (struct runtime_probe){ .program = hooks[i].program,
							       .at_return = hooks[i].at_return };
	}
	err = find(elf, module, names, count, vaddrs);

	for (unsigned i = 0; !err && i < count; i++)
		ret->probes[i].vaddr = vaddrs[i];
	ret->probe_count = err ? 0 : count;
	/* the file does not tell which */
	snprintf(ret->version, sizeof(ret->version), "%s", "C core");
	return err;
}

const struct runtime_kind grpc_runtime = {
	.name = "gRPC",
	.unit = "calls",
	.kind = RT_RUNTIME_GRPC,
	.recognise = recognise,
};
