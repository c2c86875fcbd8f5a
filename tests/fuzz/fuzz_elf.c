/* SPDX-License-Identifier: Apache-2.0 */
/* A program's file, as a container may have damaged it: agent/elf.c and what reads through it. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "agent/elf.h"
#include "agent/grpc_code.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(struct elf *elf, uint64_t file_bytes)
{
	uint8_t bytes[16];
	struct elf_range range;
	static const char *const names[] = { "main", "grpc_call_unref" };
	uint64_t value, functions[2];

	grpc_code__functions(elf, names, 2, functions);
	elf__symbol(elf, "main", &range);
	elf__section(elf, ".text", &range);
	elf__relocation(elf, 0x400000, &value);
	for (unsigned i = 0; !elf__load(elf, i, &range); i++) {
		if (range.size > file_bytes)
			abort();
		if (!elf__offset(elf, range.vaddr, &value) && value >= file_bytes)
			abort();
		elf__read(elf, range.vaddr, bytes, sizeof(bytes));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct elf *elf;
	int err = 0;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	elf = elf__open(fd, &err);
	if (!elf && err >= 0)
		abort();
	if (elf)
		look(elf, size);
	elf__free(elf);
	return 0;
}
