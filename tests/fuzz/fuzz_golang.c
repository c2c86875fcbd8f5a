/* SPDX-License-Identifier: Apache-2.0 */
/* The function table and the code of a Go program, as a container may have damaged them. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "agent/golang.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct golang golang;
	uint64_t offset;
	struct elf *elf;
	int err = 0;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	elf = elf__open(fd, &err);
	if (elf && !golang__inspect(elf, &golang)) {
		if (!golang.start_count || golang.start_count > GOLANG_STARTS)
			abort();
		for (unsigned i = 0; i < golang.start_count; i++)
			if (elf__offset(elf, golang.starts[i].call, &offset) || offset >= size)
				abort();
	}
	elf__free(elf);
	return 0;
}
