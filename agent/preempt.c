/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/preempt.h"

#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <bpf/btf.h>

bool preempt__tracepoints(const struct btf *kernel)
{
	return btf__find_by_name_kind(kernel, "trace_call_bpf_faultable", BTF_KIND_FUNC) > 0;
}

/* What the running kernel chose of its models, "none (voluntary) full lazy"; "" when unknown. */
static void read_preemption(char *ret, size_t size)
{
	int fd = open("/sys/kernel/debug/sched/preempt", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, ret, size - 1) : 0;

	ret[n > 0 ? n : 0] = 0;
	if (fd >= 0)
		close(fd);
}

bool preempt__trampolines(const struct btf *kernel)
{
	struct utsname name;
	char model[64];

	if (preempt__tracepoints(kernel))
		return true;
	read_preemption(model, sizeof(model));
	if (model[0])
		return strstr(model, "(full)") || strstr(model, "(lazy)");
	uname(&name);
	return strstr(name.version, "PREEMPT ") || strstr(name.version, "PREEMPT_RT") ||
	       strstr(name.version, "PREEMPT_LAZY");
}
