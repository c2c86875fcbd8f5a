/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/java.h"

#include <errno.h>

static int recognise(struct elf *elf, struct runtime_match *ret)
{
	struct elf_range range;

	/* what libjvm.so exports, and whoever links a machine statically, as native images do not
	 */
	return elf__symbol(elf, "JNI_CreateJavaVM", &range) ? -ENOENT : 0;
}

const struct runtime_kind java_runtime = {
	.name = "Java",
	.kind = RT_RUNTIME_JAVA,
	.recognise = recognise,
};
