/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/plan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "agent/tracepoint.h"

/* One program and the call whose entry or exit it serves; see bpf/syscall.bpf.c. */
struct attachment {
	const char *program;
	const char *event;
	bool optional; /* not on every kernel or architecture */
};

static const struct attachment syscall_plan[] = {
	{ "rt_enter_write", "sys_enter_write", false },
	{ "rt_enter_write", "sys_enter_sendto", false },
	{ "rt_enter_writev", "sys_enter_writev", false },
	{ "rt_enter_writev", "sys_enter_pwritev2", true },
	{ "rt_enter_sendmsg", "sys_enter_sendmsg", false },
	{ "rt_enter_sendfile", "sys_enter_sendfile64", true },
	{ "rt_enter_splice", "sys_enter_splice", true },
	{ "rt_enter_tee", "sys_enter_tee", true },
	{ "rt_enter_sendfile", "sys_enter_vmsplice", true },
	{ "rt_enter_read", "sys_enter_read", false },
	{ "rt_enter_readv", "sys_enter_readv", false },
	{ "rt_enter_recvfr", "sys_enter_recvfrom", false },
	{ "rt_enter_recvmsg", "sys_enter_recvmsg", false },
	{ "rt_enter_recvmm", "sys_enter_recvmmsg", true },
	{ "rt_enter_accept", "sys_enter_accept", true },
	{ "rt_enter_accept", "sys_enter_accept4", false },
	{ "rt_enter_connec", "sys_enter_connect", false },
	{ "rt_exit", "sys_exit_write", false },
	{ "rt_exit", "sys_exit_sendto", false },
	{ "rt_exit", "sys_exit_writev", false },
	{ "rt_exit", "sys_exit_pwritev2", true },
	{ "rt_exit", "sys_exit_sendmsg", false },
	{ "rt_exit", "sys_exit_sendfile64", true },
	{ "rt_exit", "sys_exit_splice", true },
	{ "rt_exit", "sys_exit_tee", true },
	{ "rt_exit", "sys_exit_vmsplice", true },
	{ "rt_exit", "sys_exit_read", false },
	{ "rt_exit", "sys_exit_readv", false },
	{ "rt_exit", "sys_exit_recvfrom", false },
	{ "rt_exit", "sys_exit_recvmsg", false },
	{ "rt_exit_mmsg", "sys_exit_recvmmsg", true },
	{ "rt_exit", "sys_exit_accept", true },
	{ "rt_exit", "sys_exit_accept4", false },
};

/* In both plans; see bpf/wait.bpf.c. What an architecture lacks is optional. */
static const struct attachment waits[] = {
	{ "rt_wait_epoll", "sys_enter_epoll_wait", true },
	{ "rt_wait_epoll", "sys_enter_epoll_pwait", false },
	{ "rt_wait_epoll", "sys_enter_epoll_pwait2", true },
	{ "rt_wait_poll", "sys_enter_poll", true },
	{ "rt_wait_poll", "sys_enter_ppoll", false },
	{ "rt_wait_poll", "sys_enter_select", true },
	{ "rt_wait_poll", "sys_enter_pselect6", false },
	{ "rt_wait_poll", "sys_enter_accept", true },
	{ "rt_wait_poll", "sys_enter_accept4", false },
	{ "rt_wait_futex", "sys_enter_futex", false },
};

/* The kernel function of a trampoline program; NULL for other programs. */
static const char *trampoline_function(const struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);

	if (strncmp(section, "fentry/", 7) != 0 && strncmp(section, "fexit/", 6) != 0)
		return NULL;
	return strchr(section, '/') + 1;
}

static bool has_function(const struct btf *kernel, const char *name)
{
	return btf__find_by_name_kind(kernel, name, BTF_KIND_FUNC) > 0;
}

/* Without these there is no capture; the others have another name, or are kernel versions' own. */
static bool has_fentry_plan(const struct btf *kernel)
{
	return (has_function(kernel, "pipe_write") || has_function(kernel, "anon_pipe_write")) &&
	       has_function(kernel, "tty_write") && has_function(kernel, "inet_recvmsg") &&
	       has_function(kernel, "inet_sendmsg") && has_function(kernel, "inet_accept") &&
	       has_function(kernel, "unix_stream_recvmsg") &&
	       has_function(kernel, "unix_stream_sendmsg");
}

int plan__choose(struct bpf_object *object, enum probe_plan plan)
{
	bool fentry = plan == PROBE_PLAN_FENTRY;
	struct btf *kernel = fentry ? btf__load_vmlinux_btf() : NULL;
	struct bpf_program *program;

	if (fentry && (!kernel || !has_fentry_plan(kernel))) {
		btf__free(kernel);
		return -ENOENT;
	}
	bpf_object__for_each_program(program, object)
	{
		const char *function = trampoline_function(program);

		if (function)
			bpf_program__set_autoload(program,
						  fentry && has_function(kernel, function));
		else if (!strcmp(bpf_program__section_name(program), "tp"))
			bpf_program__set_autoload(program, !fentry);
	}
	/* before 5.12 a sendfile goes through the pipe's own write, which counts it */
	program = bpf_object__find_program_by_name(object, "rt_out_sendfile");
	if (fentry && program && !has_function(kernel, "splice_file_to_pipe"))
		bpf_program__set_autoload(program, false);
	btf__free(kernel);
	return 0;
}

static int keep_link(struct links *links, struct bpf_link *link)
{
	if (!link)
		return -errno;
	if (links->count == LINKS_MAX) {
		bpf_link__destroy(link);
		return -E2BIG;
	}
	links->at[links->count++] = link;
	return 0;
}

static int attach_raw(struct bpf_object *object, struct links *links)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object)
	{
		int err;

		if (strncmp(bpf_program__section_name(program), "raw_tp/", 7) != 0)
			continue;
		err = keep_link(links, bpf_program__attach(program));
		if (err)
			return err;
	}
	return 0;
}

/* Exits first, as with system calls. */
static int attach_trampolines(struct bpf_object *object, struct links *links)
{
	static const char *const order[] = { "fexit/", "fentry/" };
	struct bpf_program *program;

	for (size_t i = 0; i < 2; i++) {
		bpf_object__for_each_program(program, object)
		{
			const char *section = bpf_program__section_name(program);
			int err = 0;

			if (bpf_program__autoload(program) &&
			    !strncmp(section, order[i], strlen(order[i])))
				err = keep_link(links, bpf_program__attach(program));
			if (err)
				return err;
		}
	}
	return 0;
}

static int attach_event(struct bpf_object *object, struct links *links, int tracefs,
			const struct attachment *a)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, a->program);
	int perf = tracepoint__open(tracefs, "syscalls", a->event), err;

	if (perf < 0)
		return perf == -ENOENT && a->optional ? 0 : perf;
	err = keep_link(links, bpf_program__attach_perf_event(program, perf));
	if (err)
		close(perf);
	return err;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int attach_calls(struct bpf_object *object, struct links *links,
			const struct attachment *calls, size_t count)
{
	int tracefs = tracepoint__open_fs(), err = 0;

	if (tracefs < 0)
		return tracefs;
	/* exits first: a call that was entered unseen is not found at its exit */
	while (count-- > 0 && !err)
		err = attach_event(object, links, tracefs, &calls[count]);
	close(tracefs);
	return err;
}

int plan__attach(struct bpf_object *object, enum probe_plan plan, struct links *links)
{
	int err = attach_raw(object, links);

	if (!err)
		err = attach_calls(object, links, waits, COUNT(waits));
	if (err)
		return err;
	return plan == PROBE_PLAN_FENTRY
		       ? attach_trampolines(object, links)
		       : attach_calls(object, links, syscall_plan, COUNT(syscall_plan));
}

void links__destroy(struct links *links)
{
	while (links->count)
		bpf_link__destroy(links->at[--links->count]);
}
