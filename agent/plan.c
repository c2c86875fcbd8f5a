/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "agent/preempt.h"
#include "agent/tracepoint.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One program and the call whose entry or exit it serves; see bpf/syscall.bpf.c. */
struct attachment {
	const char *program;
	const char *event;
	unsigned call; /* its number */
	bool optional; /* not on every kernel or architecture */
};

const uint32_t plan_numbers[RT_SHAPES] = {
	[RT_SHAPE_WRITEV] = SYS_writev,     [RT_SHAPE_PWRITEV2] = SYS_pwritev2,
	[RT_SHAPE_SENDMSG] = SYS_sendmsg,   [RT_SHAPE_SPLICE] = SYS_splice,
	[RT_SHAPE_TEE] = SYS_tee,           [RT_SHAPE_READV] = SYS_readv,
	[RT_SHAPE_RECVFROM] = SYS_recvfrom, [RT_SHAPE_RECVMSG] = SYS_recvmsg,
	[RT_SHAPE_RECVMMSG] = SYS_recvmmsg,
};

static const struct attachment syscall_plan[] = {
	{ "rt_exit_sent", "sys_exit_write", SYS_write, false },
	{ "rt_exit_sent", "sys_exit_sendto", SYS_sendto, false },
	{ "rt_exit_sent", "sys_exit_writev", SYS_writev, false },
	{ "rt_exit_sent", "sys_exit_pwritev2", SYS_pwritev2, true },
	{ "rt_exit_sent", "sys_exit_sendmsg", SYS_sendmsg, false },
	{ "rt_exit_file", "sys_exit_sendfile64", SYS_sendfile, true },
	{ "rt_exit_file", "sys_exit_vmsplice", SYS_vmsplice, true },
	{ "rt_exit_file", "sys_exit_splice", SYS_splice, true },
	{ "rt_exit_file", "sys_exit_tee", SYS_tee, true },
	{ "rt_exit_receive", "sys_exit_read", SYS_read, false },
	{ "rt_exit_receive", "sys_exit_readv", SYS_readv, false },
	{ "rt_exit_receive", "sys_exit_recvfrom", SYS_recvfrom, false },
	{ "rt_exit_receive", "sys_exit_recvmsg", SYS_recvmsg, false },
	{ "rt_exit_receive", "sys_exit_recvmmsg", SYS_recvmmsg, true },
	{ "rt_exit_accept", "sys_exit_accept", SYS_accept, true },
	{ "rt_exit_accept", "sys_exit_accept4", SYS_accept4, false },
	{ "rt_exit_connect", "sys_exit_connect", SYS_connect, false },
};

/* Where the programs above cannot read the call's registers. */
static const struct attachment keep_args[] = {
	{ "rt_enter_three", "sys_enter_write", 0, false },
	{ "rt_enter_four", "sys_enter_sendto", 0, false },
	{ "rt_enter_three", "sys_enter_writev", 0, false },
	{ "rt_enter_four", "sys_enter_pwritev2", 0, true },
	{ "rt_enter_three", "sys_enter_sendmsg", 0, false },
	{ "rt_enter_four", "sys_enter_sendfile64", 0, true },
	{ "rt_enter_four", "sys_enter_vmsplice", 0, true },
	{ "rt_enter_four", "sys_enter_splice", 0, true },
	{ "rt_enter_four", "sys_enter_tee", 0, true },
	{ "rt_enter_three", "sys_enter_read", 0, false },
	{ "rt_enter_three", "sys_enter_readv", 0, false },
	{ "rt_enter_four", "sys_enter_recvfrom", 0, false },
	{ "rt_enter_three", "sys_enter_recvmsg", 0, false },
	{ "rt_enter_four", "sys_enter_recvmmsg", 0, true },
	{ "rt_enter_three", "sys_enter_connect", 0, false },
};

/* Where they can; see bpf/repoint.bpf.c. */
static const struct attachment repoints[] = {
	{ "rt_repoint_dup", "sys_enter_dup2", 0, true },
	{ "rt_repoint_dup", "sys_enter_dup3", 0, false },
	{ "rt_repoint_close", "sys_enter_close", 0, false },
};

/* In both plans; see bpf/wait.bpf.c and bpf/map.bpf.c. What an architecture lacks is optional. */
static const struct attachment both_plans[] = {
	{ "rt_wait_epoll", "sys_enter_epoll_wait", 0, true },
	{ "rt_wait_epoll", "sys_enter_epoll_pwait", 0, false },
	{ "rt_wait_epoll", "sys_enter_epoll_pwait2", 0, true },
	{ "rt_wait_poll", "sys_enter_poll", 0, true },
	{ "rt_wait_poll", "sys_enter_ppoll", 0, false },
	{ "rt_wait_poll", "sys_enter_select", 0, true },
	{ "rt_wait_poll", "sys_enter_pselect6", 0, false },
	{ "rt_wait_poll", "sys_enter_accept", 0, true },
	{ "rt_wait_poll", "sys_enter_accept4", 0, false },
	{ "rt_wait_arm", "sys_enter_epoll_ctl", 0, false },
	{ "rt_wait_futex", "sys_enter_futex", 0, false },
	{ "rt_enter_mmap", "sys_enter_mmap", 0, false },
	{ "rt_exit_mmap", "sys_exit_mmap", 0, false },
	{ "rt_wait_futexed", "sys_exit_futex", 0, false },
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

static int choose_fentry(const struct btf *kernel, enum plan_hooks *ret, const char **ret_what)
{
	*ret_what = "the kernel lacks a function that the fentry plan hooks";
	*ret = HOOKS_TRAMPOLINES;
	if (!has_fentry_plan(kernel))
		return -ENOENT;
	if (!preempt__trampolines(kernel))
		return 0;
	/* since 6.14 an fprobe's return is on the task's own stack: none is missed for want of one
	 */
	*ret_what = "the kernel preempts the programs of BPF trampolines, and has no fprobes";
	*ret = HOOKS_FPROBES;
	return has_function(kernel, "fprobe_fgraph_entry") ? 0 : -EOPNOTSUPP;
}

const char *hooks__reason(enum plan_hooks hooks)
{
	static const char *const reasons[] = {
		[HOOKS_CALLS] = "tracepoints of each system call",
		[HOOKS_ALL_CALLS] =
			"tracepoints of all system calls: the kernel preempts those of each",
		[HOOKS_TRAMPOLINES] = "the kernel attaches BPF trampolines",
		[HOOKS_FPROBES] = "fprobes: the kernel preempts BPF trampolines",
	};

	return reasons[hooks];
}

static bool is_wanted(const struct btf *kernel, const struct bpf_program *program,
		      enum plan_hooks hooks)
{
	const char *section = bpf_program__section_name(program);
	const char *function = trampoline_function(program);

	if (function)
		return hooks == HOOKS_TRAMPOLINES && has_function(kernel, function);
	if (strstr(section, "probe.multi/"))
		return hooks == HOOKS_FPROBES;
	if (strncmp(section, "tp/raw_syscalls/", 16) == 0)
		return hooks == HOOKS_ALL_CALLS;
	if (strcmp(section, "tp") == 0 || strcmp(section, "tp/repoint") == 0)
		return hooks == HOOKS_CALLS || hooks == HOOKS_ALL_CALLS;
	return true;
}

int plan__choose(struct bpf_object *object, enum probe_plan plan, enum plan_hooks *ret_hooks,
		 const char **ret_what)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	struct bpf_program *program;
	int err = 0;

	*ret_what = "the kernel tells no types (BTF)";
	if (!kernel)
		return -ENOENT;
	if (plan == PROBE_PLAN_FENTRY)
		err = choose_fentry(kernel, ret_hooks, ret_what);
	else
		*ret_hooks = preempt__tracepoints(kernel) ? HOOKS_ALL_CALLS : HOOKS_CALLS;
	bpf_object__for_each_program(program, object)
	{
		bpf_program__set_autoload(program, !err && is_wanted(kernel, program, *ret_hooks));
	}
	/* before 5.12 a sendfile goes through the pipe's own write, which counts it */
	program = bpf_object__find_program_by_name(object, "rt_out_sendfile");
	if (program && !has_function(kernel, "splice_file_to_pipe"))
		bpf_program__set_autoload(program, false);
	btf__free(kernel);
	return err;
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

#define FUNCTIONS_MAX 8

/* One program and the functions whose entry or return it serves; see bpf/fprobe.bpf.c. */
static const struct fprobe {
	const char *program;
	bool at_return;
	const char *functions[FUNCTIONS_MAX];
} fprobes[] = {
#define FILE_FUNCTIONS                                                                             \
	{                                                                                          \
		"pipe_write", "anon_pipe_write", "fifo_pipe_write", "tty_write",                   \
			"generic_file_write_iter", "ext4_file_write_iter", "shmem_file_write_iter" \
	}
	{ "rt_kr_file", true, FILE_FUNCTIONS },
	{ "rt_kr_message",
	  true,
	  { "inet_sendmsg", "inet6_sendmsg", "unix_stream_sendmsg", "inet_recvmsg", "inet6_recvmsg",
	    "unix_stream_recvmsg" } },
	{ "rt_kr_accept", true, { "inet_accept", "unix_accept" } },
	{ "rt_kr_pages", true, { "do_splice", "do_tee", "vmsplice_to_pipe", "do_sendfile" } },
	{ "rt_k_file", false, FILE_FUNCTIONS },
	{ "rt_k_send", false, { "inet_sendmsg", "inet6_sendmsg", "unix_stream_sendmsg" } },
	{ "rt_k_receive", false, { "inet_recvmsg", "inet6_recvmsg", "unix_stream_recvmsg" } },
	{ "rt_k_eventfd", false, { "eventfd_write" } },
	{ "rt_k_accept", false, { "inet_accept", "unix_accept" } },
	{ "rt_k_connect", false, { "inet_stream_connect", "unix_stream_connect" } },
	{ "rt_k_splice", false, { "do_splice" } },
	{ "rt_k_tee", false, { "do_tee" } },
	{ "rt_k_vmsplice", false, { "vmsplice_to_pipe" } },
	{ "rt_k_sendfile", false, { "do_sendfile" } },
};

static int attach_fprobe(struct bpf_object *object, struct links *links, const struct btf *kernel,
			 const struct fprobe *fprobe)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, fprobe->program);
	const char *found[FUNCTIONS_MAX];
	LIBBPF_OPTS(bpf_kprobe_multi_opts, options, .syms = found, .retprobe = fprobe->at_return);

	for (size_t i = 0; i < FUNCTIONS_MAX && fprobe->functions[i]; i++)
		if (has_function(kernel, fprobe->functions[i]))
			found[options.cnt++] = fprobe->functions[i];
	if (!options.cnt)
		return 0;
	return keep_link(links, bpf_program__attach_kprobe_multi_opts(program, NULL, &options));
}

static int attach_fprobes(struct bpf_object *object, struct links *links)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	int err = kernel ? 0 : -ENOENT;

	for (size_t i = 0; i < COUNT(fprobes) && !err; i++)
		err = attach_fprobe(object, links, kernel, &fprobes[i]);
	btf__free(kernel);
	return err;
}

static int attach_at(struct bpf_program *program, struct links *links, int tracefs,
		     const char *category, const char *event)
{
	int perf = tracepoint__open(tracefs, category, event), err;

	if (perf < 0)
		return perf;
	err = keep_link(links, bpf_program__attach_perf_event(program, perf));
	if (err)
		close(perf);
	return err;
}

static int attach_call(struct bpf_object *object, struct links *links, int tracefs,
		       const struct attachment *a)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, a->program);
	int err = attach_at(program, links, tracefs, "syscalls", a->event);

	return err == -ENOENT && a->optional ? 0 : err;
}

static int attach_calls(struct bpf_object *object, struct links *links,
			const struct attachment *calls, size_t count)
{
	int tracefs = tracepoint__open_fs(), err = 0;

	if (tracefs < 0)
		return tracefs;
	while (count-- > 0 && !err)
		err = attach_call(object, links, tracefs, &calls[count]);
	close(tracefs);
	return err;
}

/* "tp/CATEGORY/EVENT": the program says where it belongs. */
static int attach_events(struct bpf_object *object, struct links *links)
{
	int tracefs = tracepoint__open_fs(), err = 0;
	struct bpf_program *program;

	if (tracefs < 0)
		return tracefs;
	bpf_object__for_each_program(program, object)
	{
		char category[32], event[64];

		if (err || !bpf_program__autoload(program) ||
		    sscanf(bpf_program__section_name(program), "tp/%31[^/]/%63s", category,
			   event) != 2)
			continue;
		err = attach_at(program, links, tracefs, category, event);
	}
	close(tracefs);
	return err;
}

/* Where to go from the tracepoints of all system calls. */
static int fill_calls(struct bpf_object *object)
{
	int calls = bpf_object__find_map_fd_by_name(object, "rt_calls"), err = 0;

	for (size_t i = 0; i < COUNT(syscall_plan) && !err; i++) {
		const struct attachment *a = &syscall_plan[i];
		struct bpf_program *program = bpf_object__find_program_by_name(object, a->program);
		int fd = bpf_program__fd(program);

		err = bpf_map_update_elem(calls, &a->call, &fd, BPF_ANY);
	}
	return err;
}

/* bpf_task_pt_regs() came with 5.15; bpf/syscall.bpf.c asks the kernel's BTF for it too. */
static bool reads_registers(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_TRACEPOINT, BPF_FUNC_task_pt_regs, NULL) == 1;
}

int plan__attach(struct bpf_object *object, enum plan_hooks hooks, struct links *links)
{
	int err = hooks == HOOKS_ALL_CALLS ? fill_calls(object) : 0;

	if (!err)
		err = attach_raw(object, links);
	if (!err)
		err = attach_events(object, links);
	if (!err)
		err = attach_calls(object, links, both_plans, COUNT(both_plans));
	if (err)
		return err;
	if (hooks == HOOKS_TRAMPOLINES)
		return attach_trampolines(object, links);
	if (hooks == HOOKS_FPROBES)
		return attach_fprobes(object, links);
	/* exits first: a call that was entered unseen is not found at its exit */
	if (hooks == HOOKS_CALLS)
		err = attach_calls(object, links, syscall_plan, COUNT(syscall_plan));
	if (err)
		return err;
	return reads_registers() ? attach_calls(object, links, repoints, COUNT(repoints))
				 : attach_calls(object, links, keep_args, COUNT(keep_args));
}

static void each_call(const struct attachment *calls, size_t count, int tracefs, plan_hook_fn fn,
		      void *ctx)
{
	for (size_t i = 0; i < count; i++) {
		char path[96];

		snprintf(path, sizeof(path), "events/syscalls/%s", calls[i].event);
		fn(ctx, calls[i].event, !faccessat(tracefs, path, F_OK, 0));
	}
}

static void each_function(const struct bpf_object *object, enum plan_hooks hooks, plan_hook_fn fn,
			  void *ctx)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	struct bpf_program *program;

	for (size_t i = 0; kernel && hooks == HOOKS_FPROBES && i < COUNT(fprobes); i++)
		for (size_t j = 0; j < FUNCTIONS_MAX && fprobes[i].functions[j]; j++)
			fn(ctx, fprobes[i].functions[j],
			   has_function(kernel, fprobes[i].functions[j]));
	bpf_object__for_each_program(program, object)
	{
		const char *function = trampoline_function(program);

		if (kernel && function && hooks == HOOKS_TRAMPOLINES)
			fn(ctx, function, bpf_program__autoload(program));
	}
	btf__free(kernel);
}

void plan__each(const struct bpf_object *object, enum plan_hooks hooks, plan_hook_fn fn, void *ctx)
{
	int tracefs = tracepoint__open_fs();
	struct bpf_program *program;

	bpf_object__for_each_program(program, object)
	{
		const char *section = bpf_program__section_name(program);
		const char *event = strrchr(section, '/');

		if (bpf_program__autoload(program) && event && event != strchr(section, '/'))
			fn(ctx, event + 1, true);
		else if (strncmp(section, "raw_tp/", 7) == 0)
			fn(ctx, section + 7, true);
	}
	if (hooks == HOOKS_CALLS)
		each_call(syscall_plan, COUNT(syscall_plan), tracefs, fn, ctx);
	if (hooks == HOOKS_CALLS || hooks == HOOKS_ALL_CALLS)
		each_call(repoints, COUNT(repoints), tracefs, fn, ctx);
	each_call(both_plans, COUNT(both_plans), tracefs, fn, ctx);
	each_function(object, hooks, fn, ctx);
	if (tracefs >= 0)
		close(tracefs);
}

void links__destroy(struct links *links)
{
	while (links->count)
		bpf_link__destroy(links->at[--links->count]);
}
