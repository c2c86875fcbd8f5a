/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "agent/probe.h"
#include "agent/rights.h"
#include "agent/survey.h"
#include "agent/tracepoint.h"
#include "agent/uprobe.h"

#define CGROUP2_PLACES 2
#define RUNTIMES_SHOWN 8

static struct doctor_check *add(struct doctor_report *report, const char *name,
				enum doctor_state state)
{
	struct doctor_check *check = &report->checks[report->count++];

	check->name = name;
	check->state = state;
	if (state == DOCTOR_CANNOT)
		report->can_capture = false;
	return check;
}

#define say(field, ...) snprintf(field, sizeof(field), __VA_ARGS__)

static void check_kernel(struct doctor_report *report)
{
	struct doctor_check *check;
	struct utsname name;
	int major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	check = add(report, "kernel",
		    major > 5 || (major == 5 && minor >= 8) ? DOCTOR_OK : DOCTOR_CANNOT);
	say(check->found, "%s on %s", name.release, name.machine);
	if (check->state)
		say(check->mend, "the ring buffer needs Linux 5.8 or later: boot a newer kernel");
}

static void check_btf(struct doctor_report *report)
{
	bool there = !access("/sys/kernel/btf/vmlinux", R_OK);
	struct doctor_check *check = add(report, "btf", there ? DOCTOR_OK : DOCTOR_CANNOT);

	say(check->found, there ? "/sys/kernel/btf/vmlinux" : "no /sys/kernel/btf/vmlinux");
	if (!there)
		say(check->mend, "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, or mount /sys");
}

static void check_capabilities(struct doctor_report *report)
{
	for (const struct right *right = rights; right->name; right++) {
		bool has = rights__has(right);
		enum doctor_state without = right->vital ? DOCTOR_CANNOT : DOCTOR_LESS;
		struct doctor_check *check = add(report, right->name, has ? DOCTOR_OK : without);

		say(check->found, has ? "there, to %s" : "missing, to %s", right->what);
		if (!has)
			say(check->mend, "run as root, or give the process %s", right->name);
	}
}

/* The one thing that a capability of the list may not be enough for. */
static void check_uprobes(struct doctor_report *report)
{
	enum uprobe_way way;
	int err = uprobe__try(&way);
	struct doctor_check *check = add(report, "uprobes", err ? DOCTOR_LESS : DOCTOR_OK);

	say(check->found, "%s",
	    err                  ? "the kernel does not attach to programs' functions"
	    : way == UPROBE_LINK ? "programs' functions, by links"
				 : "programs' functions, by perf events");
	if (err == -EACCES || err == -EPERM)
		say(check->mend,
		    "give the process CAP_BPF and CAP_PERFMON, and CAP_SYS_ADMIN before 6.6; ids "
		    "across await, goroutines and TLS are off without");
	else if (err)
		say(check->mend, "boot a kernel built with CONFIG_UPROBE_EVENTS=y");
}

static void check_lockdown(struct doctor_report *report)
{
	char text[64] = "";
	int fd = open("/sys/kernel/security/lockdown", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
	bool strict = n > 0 && strstr(text, "[confidentiality]");
	struct doctor_check *check = add(report, "lockdown", strict ? DOCTOR_CANNOT : DOCTOR_OK);

	if (fd >= 0)
		close(fd);
	say(check->found, "%s", strict ? "confidentiality" : n > 0 ? "permits reading" : "none");
	if (strict)
		say(check->mend,
		    "boot without lockdown=confidentiality: it forbids BPF to read memory");
}

/*
 * Kernels of Debian and Ubuntu know values above 2, their default, at which CAP_PERFMON opens no
 * perf event: "security,perf: Allow further restriction of perf_event_open".
 */
static bool is_paranoid(int *ret_level)
{
	FILE *file = fopen("/proc/sys/kernel/perf_event_paranoid", "re");
	bool read = file && fscanf(file, "%d", ret_level) == 1;

	if (file)
		fclose(file);
	return read && *ret_level > 2;
}

static void check_tracepoint(struct doctor_report *report, struct doctor_check *check, int tracefs)
{
	int event = tracepoint__open(tracefs, "syscalls", "sys_enter_write"), level;

	if (event >= 0)
		close(event);
	if (event != -ENOENT && !((event == -EACCES || event == -EPERM) && is_paranoid(&level)))
		return;
	check->state = DOCTOR_CANNOT;
	report->can_capture = false;
	if (event == -ENOENT) {
		say(check->found, "no system call tracepoints");
		say(check->mend, "boot a kernel built with CONFIG_FTRACE_SYSCALLS=y");
	} else {
		say(check->found,
		    "CAP_SYS_ADMIN alone attaches to them here: "
		    "kernel.perf_event_paranoid is %d",
		    level);
		say(check->mend, "sysctl kernel.perf_event_paranoid=2, or give the process "
				 "CAP_SYS_ADMIN");
	}
}

static void check_tracefs(struct doctor_report *report)
{
	int fd = tracepoint__open_fs();
	struct doctor_check *check = add(report, "tracepoints", fd < 0 ? DOCTOR_CANNOT : DOCTOR_OK);

	if (fd < 0) {
		say(check->found, "tracefs cannot be opened: %s", strerror(-fd));
		say(check->mend, "mount -t tracefs tracefs /sys/kernel/tracing");
		return;
	}
	say(check->found, "tracefs can be read");
	check_tracepoint(report, check, fd);
	close(fd);
}

static void check_cgroup(struct doctor_report *report)
{
	static const char *const places[CGROUP2_PLACES] = { "/sys/fs/cgroup",
							    "/sys/fs/cgroup/unified" };
	struct doctor_check *check = add(report, "cgroup", DOCTOR_LESS);
	struct statfs fs;

	for (int i = 0; i < CGROUP2_PLACES; i++) {
		if (statfs(places[i], &fs) || fs.f_type != CGROUP2_SUPER_MAGIC)
			continue;
		check->state = DOCTOR_OK;
		say(check->found, i ? "hybrid: v2 at %s" : "v2 at %s", places[i]);
		return;
	}
	say(check->found, "no cgroup v2");
	say(check->mend, "mount cgroup v2 for `reqtap agent`; `reqtap run` needs none");
}

static void check_bpffs(struct doctor_report *report)
{
	struct statfs fs;
	bool there = !statfs("/sys/fs/bpf", &fs) && fs.f_type == BPF_FS_MAGIC;
	struct doctor_check *check = add(report, "bpffs", there ? DOCTOR_OK : DOCTOR_LESS);

	say(check->found, there ? "/sys/fs/bpf" : "not mounted: nothing is pinned");
	if (!there)
		say(check->mend, "mount -t bpf bpf /sys/fs/bpf");
}

static void on_hook(void *ctx, const char *name, bool there)
{
	struct doctor_report *report = ctx;
	struct doctor_hook *hook;

	for (unsigned i = 0; i < report->hook_count; i++)
		if (!strcmp(report->hooks[i].name, name))
			return;
	if (report->hook_count == DOCTOR_HOOKS_MAX)
		return;
	hook = &report->hooks[report->hook_count++];
	say(hook->name, "%s", name);
	hook->there = there;
}

static void check_hooks(struct doctor_report *report)
{
	struct doctor_check *check = add(report, "hooks", DOCTOR_OK);
	unsigned there = 0;

	for (unsigned i = 0; i < report->hook_count; i++)
		there += report->hooks[i].there;
	say(check->found, "%u attached", there);
	for (unsigned i = 0, absent = 0; i < report->hook_count; i++) {
		size_t len = strlen(check->found);

		if (!report->hooks[i].there)
			snprintf(check->found + len, sizeof(check->found) - len, "%s %s",
				 absent++ ? "," : "; not in this kernel:", report->hooks[i].name);
	}
}

/* The syscall plan where the other was tried and refused: something is less. */
static void check_plan(struct doctor_report *report, const struct probe *probe)
{
	bool fentry = probe__plan(probe) == PROBE_PLAN_FENTRY;
	struct doctor_check *check = add(report, "plan", fentry ? DOCTOR_OK : DOCTOR_LESS);

	report->plan = fentry ? "fentry" : "syscall";
	say(check->found, "%s: %s", report->plan, probe__plan_reason(probe));
	if (!fentry)
		say(check->mend, "only what io_uring and aio write is not seen so: boot a kernel "
				 "with CONFIG_DYNAMIC_FTRACE and no lockdown to have it");
}

static void check_load(struct doctor_report *report)
{
	struct probe_config config = { .ring_bytes = 4096 };
	char *problem = NULL;
	int err = 0;
	struct probe *probe = probe__new(&config, &err, &problem);
	struct doctor_check *check = add(report, "programs", probe ? DOCTOR_OK : DOCTOR_CANNOT);

	if (probe) {
		say(check->found, "load and attach");
		check_plan(report, probe);
		probe__hooks(probe, on_hook, report);
		check_hooks(report);
	} else {
		say(check->found, "%s", problem ? problem : strerror(-err));
		say(check->mend, "%s",
		    err == -EPERM || err == -EACCES
			    ? "run as root; in a container, not under a seccomp profile that "
			      "denies bpf"
			    : "report the kernel's version and `reqtap run --verbose`");
	}
	free(problem);
	probe__free(probe);
}

static void on_runtime(void *ctx, const struct runtime_info *info)
{
	struct doctor_report *report = ctx;
	struct doctor_check *check;

	if (report->runtime_count++ >= RUNTIMES_SHOWN)
		return;
	check = add(report, "runtime", *info->why ? DOCTOR_LESS : DOCTOR_OK);
	if (*info->why) {
		say(check->found, "%s %s: %s; %s: %s", info->name, info->version, info->why,
		    *info->unit ? "by threads" : "by none", info->path);
		say(check->mend, "lines of an event loop have no id so; `line`, `text` and `relay` "
				 "evidence still holds; a build that is known mends it");
	} else {
		say(check->found, "%s %s%s%s, mapped %u times: %s", info->name, info->version,
		    *info->unit ? ", by " : "", info->unit, info->processes, info->path);
	}
}

/* Of what runs now; a target that starts later is looked at then. */
static void check_runtimes(struct doctor_report *report)
{
	int err = survey__runtimes(on_runtime, report);
	struct doctor_check *check;

	if (!err && report->runtime_count <= RUNTIMES_SHOWN)
		return;
	check = add(report, "runtime", err ? DOCTOR_LESS : DOCTOR_OK);
	if (err)
		say(check->found, "/proc cannot be read: %s", strerror(-err));
	else
		say(check->found, "and %u more", report->runtime_count - RUNTIMES_SHOWN);
}

void doctor__examine(struct doctor_report *ret, bool load)
{
	*ret = (struct doctor_report){ .can_capture = true, .plan = "none" };
	check_kernel(ret);
	check_btf(ret);
	check_capabilities(ret);
	check_uprobes(ret);
	check_lockdown(ret);
	check_tracefs(ret);
	check_cgroup(ret);
	check_bpffs(ret);
	if (load && ret->can_capture)
		check_load(ret);
	if (load)
		check_runtimes(ret);
}

int doctor__obstacle(char **ret_problem)
{
	struct doctor_report report;

	doctor__examine(&report, false);
	for (unsigned i = 0; i < report.count; i++) {
		const struct doctor_check *check = &report.checks[i];

		if (check->state != DOCTOR_CANNOT)
			continue;
		if (asprintf(ret_problem, "cannot capture here: %s: %s; %s", check->name,
			     check->found, check->mend) < 0)
			*ret_problem = NULL;
		return -ENOTSUP;
	}
	return 0;
}
