/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/uprobe.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* linux/bpf.h of 6.6; libbpf knows them from 1.3 on. */
#define TRACE_UPROBE_MULTI 48
#define UPROBE_MULTI_RETURN 1

/* The part of bpf_attr for BPF_LINK_CREATE that is of use here. */
struct link_create {
	uint32_t program, target, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t count, multi_flags, pid;
};

_Static_assert(offsetof(struct link_create, path) == 16, "linux/bpf.h: uprobe_multi.path");
_Static_assert(offsetof(struct link_create, pid) == 56, "linux/bpf.h: uprobe_multi.pid");

/* The kernel reads `size` bytes of it: without padding at the end. */
#define LINK_CREATE_BYTES (offsetof(struct link_create, pid) + sizeof(uint32_t))

static int attach_link(int program, const char *path, uint64_t offset, bool at_return)
{
	struct link_create attr = {
		.program = program,
		.attach_type = TRACE_UPROBE_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)&offset,
		.count = 1,
		.multi_flags = at_return ? UPROBE_MULTI_RETURN : 0,
	};
	int link = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, LINK_CREATE_BYTES);

	return link < 0 ? -errno : link;
}

/* A number in a file of /sys, after `prefix`. */
static int read_number(const char *path, const char *prefix, unsigned *ret)
{
	FILE *file = fopen(path, "re");
	char text[64] = "";
	size_t len = strlen(prefix);
	bool found = file && fgets(text, sizeof(text), file) && !strncmp(text, prefix, len) &&
		     sscanf(text + len, "%u", ret) == 1;

	if (file)
		fclose(file);
	return found ? 0 : -ENOENT;
}

#define PMU "/sys/bus/event_source/devices/uprobe/"

static int open_event(const char *path, uint64_t offset, bool at_return)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.uprobe_path = (uintptr_t)path,
		.probe_offset = offset,
	};
	unsigned type, bit;
	int event;

	if (read_number(PMU "type", "", &type) ||
	    read_number(PMU "format/retprobe", "config:", &bit))
		return -ENOENT;
	attr.type = type;
	attr.config = at_return ? 1ULL << bit : 0;
	/* one event on one CPU: its programs run whichever CPU gets there */
	event = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return event < 0 ? -errno : event;
}

static int attach_event(int program, const char *path, uint64_t offset, bool at_return)
{
	int event = open_event(path, offset, at_return), err;

	if (event < 0)
		return event;
	if (!ioctl(event, PERF_EVENT_IOC_SET_BPF, program) &&
	    !ioctl(event, PERF_EVENT_IOC_ENABLE, 0))
		return event;
	err = -errno;
	close(event);
	return err;
}

/* A program that does nothing. */
static int load_trial(void)
{
	const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		    .expected_attach_type = (enum bpf_attach_type)TRACE_UPROBE_MULTI);

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "rt_trial", "Dual BSD/GPL", nothing, 2, &opts);
}

int uprobe__try(enum uprobe_way *ret_way)
{
	int program = load_trial(), fd = program;

	*ret_way = UPROBE_LINK;
	if (program >= 0) {
		fd = attach_link(program, "/proc/self/exe", 0, false);
		close(program);
	}
	if (fd < 0) {
		*ret_way = UPROBE_PERF;
		fd = open_event("/proc/self/exe", 0, false);
	}
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static bool is_uprobe(const struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);

	return !strcmp(section, "uprobe") || !strcmp(section, "uretprobe");
}

void uprobe__prepare(struct bpf_object *object)
{
	enum uprobe_way way;
	struct bpf_program *program;

	if (uprobe__try(&way) || way != UPROBE_LINK)
		return;
	bpf_object__for_each_program(program, object)
	{
		if (is_uprobe(program))
			bpf_program__set_expected_attach_type(
				program, (enum bpf_attach_type)TRACE_UPROBE_MULTI);
	}
}

int uprobe__attach(const struct bpf_program *program, int fd, uint64_t offset, bool at_return)
{
	bool link = (int)bpf_program__expected_attach_type(program) == TRACE_UPROBE_MULTI;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return (link ? attach_link : attach_event)(bpf_program__fd(program), path, offset,
						   at_return);
}
