/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/probe.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "agent/tracepoint.h"
#include "bpf/http.h"
#include "reqtap.skel.h"

#define LINKS_MAX 64

struct probe {
	struct reqtap *skel;
	struct bpf_link *links[LINKS_MAX];
	unsigned link_count;
	struct control *control;
	struct ring *ring;
	int wake_fd;
	enum probe_plan plan;
};

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
	{ "rt_exit", "sys_exit_read", false },
	{ "rt_exit", "sys_exit_readv", false },
	{ "rt_exit", "sys_exit_recvfrom", false },
	{ "rt_exit", "sys_exit_recvmsg", false },
	{ "rt_exit_mmsg", "sys_exit_recvmmsg", true },
	{ "rt_exit", "sys_exit_accept", true },
	{ "rt_exit", "sys_exit_accept4", false },
};

static int problem(char **ret_problem, int err, const char *what)
{
	if (asprintf(ret_problem, "%s: %s; `reqtap doctor` tells what is missing", what,
		     strerror(-err)) < 0)
		*ret_problem = NULL;
	return err;
}

static uint64_t header_hash(const char *name)
{
	uint64_t hash = FNV_BASIS;

	for (; *name; name++)
		hash = http_hash(hash, tolower((unsigned char)*name));
	return hash;
}

static void configure(struct reqtap *skel, const struct probe_config *config)
{
	struct bpf_program *program;

	skel->rodata->rt_by_cgroup = config->by_cgroup;
	skel->rodata->rt_self_tgid = getpid();
	skel->rodata->rt_grace_ns = config->lineage_grace_ns;
	skel->rodata->rt_budget = config->budget_bytes;
	for (int i = 0; i < RT_HEADERS_MAX && config->headers && config->headers[i]; i++)
		skel->rodata->rt_headers[i] = header_hash(config->headers[i]);
	if (config->ring_bytes)
		bpf_map__set_max_entries(skel->maps.rt_ring, config->ring_bytes);
	bpf_object__for_each_program(program, skel->obj)
	{
		if (!strcmp(bpf_program__section_name(program), "tp"))
			bpf_program__set_type(program, BPF_PROG_TYPE_TRACEPOINT);
	}
}

static int keep_link(struct probe *probe, struct bpf_link *link)
{
	if (!link)
		return -errno;
	if (probe->link_count == LINKS_MAX) {
		bpf_link__destroy(link);
		return -E2BIG;
	}
	probe->links[probe->link_count++] = link;
	return 0;
}

static int attach_raw(struct probe *probe)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, probe->skel->obj)
	{
		int err;

		if (strncmp(bpf_program__section_name(program), "raw_tp/", 7) != 0)
			continue;
		err = keep_link(probe, bpf_program__attach(program));
		if (err)
			return err;
	}
	return 0;
}

static int attach_event(struct probe *probe, int tracefs, const struct attachment *a)
{
	struct bpf_program *program =
		bpf_object__find_program_by_name(probe->skel->obj, a->program);
	int perf = tracepoint__open(tracefs, "syscalls", a->event), err;

	if (perf < 0)
		return perf == -ENOENT && a->optional ? 0 : perf;
	err = keep_link(probe, bpf_program__attach_perf_event(program, perf));
	if (err)
		close(perf);
	return err;
}

static int attach_syscalls(struct probe *probe)
{
	int tracefs = tracepoint__open_fs(), err = 0;

	if (tracefs < 0)
		return tracefs;
	/* exits first: a call that was entered unseen is not found at its exit */
	for (size_t i = sizeof(syscall_plan) / sizeof(syscall_plan[0]); i-- > 0 && !err;)
		err = attach_event(probe, tracefs, &syscall_plan[i]);
	close(tracefs);
	return err;
}

/* The ring's descriptor polls readable by the released position, which lags: an epoll with
 * EPOLLET speaks once for each wake-up instead. */
static int watch_ring(struct probe *probe)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int fd = bpf_map__fd(probe->skel->maps.rt_ring), err = 0;

	probe->ring = ring__new(fd, &err);
	if (!probe->ring)
		return err;
	probe->wake_fd = epoll_create1(EPOLL_CLOEXEC);
	if (probe->wake_fd < 0 || epoll_ctl(probe->wake_fd, EPOLL_CTL_ADD, fd, &event))
		return -errno;
	return 0;
}

static int map_control(struct probe *probe)
{
	int fd = bpf_map__fd(probe->skel->maps.rt_control);
	void *mapped = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (mapped == MAP_FAILED)
		return -errno;
	probe->control = mapped;
	probe->control->contract = RT_CONTRACT;
	return 0;
}

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

struct probe *probe__new(const struct probe_config *config, int *ret_err, char **ret_problem)
{
	struct probe *probe = calloc(1, sizeof(*probe));
	int err = -ENOMEM;

	*ret_problem = NULL;
	if (!config->verbose)
		libbpf_set_print(silent);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (!probe)
		goto fail;
	probe->wake_fd = -1;
	probe->plan = PROBE_PLAN_SYSCALL;
	probe->skel = reqtap__open();
	if (!probe->skel) {
		err = problem(ret_problem, -errno, "cannot open the BPF object");
		goto fail;
	}
	configure(probe->skel, config);
	err = reqtap__load(probe->skel);
	if (err) {
		problem(ret_problem, err, "the kernel refuses reqtap's BPF programs");
		goto fail;
	}
	err = map_control(probe);
	if (!err)
		err = watch_ring(probe);
	if (!err)
		err = attach_raw(probe);
	if (!err)
		err = attach_syscalls(probe);
	if (err) {
		problem(ret_problem, err, "cannot attach to the kernel's tracepoints");
		goto fail;
	}
	return probe;
fail:
	*ret_err = err;
	return probe__free(probe);
}

struct probe *probe__free(struct probe *probe)
{
	if (!probe)
		return NULL;
	while (probe->link_count)
		bpf_link__destroy(probe->links[--probe->link_count]);
	ring__free(probe->ring);
	if (probe->wake_fd >= 0)
		close(probe->wake_fd);
	if (probe->control)
		munmap(probe->control, sysconf(_SC_PAGESIZE));
	reqtap__destroy(probe->skel);
	free(probe);
	return NULL;
}

enum probe_plan probe__plan(const struct probe *probe)
{
	return probe->plan;
}

struct ring *probe__ring(struct probe *probe)
{
	return probe->ring;
}

int probe__wake_fd(const struct probe *probe)
{
	return probe->wake_fd;
}

bool probe__arm(struct probe *probe)
{
	struct epoll_event event;

	epoll_wait(probe->wake_fd, &event, 1, 0); /* an old wake-up is no news */
	__atomic_store_n(&probe->control->armed, 1, __ATOMIC_SEQ_CST);
	return ring__waiting(probe->ring) == 0;
}

int probe__follow(struct probe *probe, pid_t tgid)
{
	uint64_t id = RT_CONTAINER_RUN;
	uint32_t key = tgid;
	int err = probe__container_set(probe, id, RT_CONTAINER_CAPTURE);

	if (err)
		return err;
	return bpf_map__update_elem(probe->skel->maps.rt_process, &key, sizeof(key), &id,
				    sizeof(id), BPF_ANY);
}

int probe__container_set(struct probe *probe, uint64_t cgroup, uint32_t flags)
{
	struct container container = { .flags = flags, .id = cgroup };

	return bpf_map__update_elem(probe->skel->maps.rt_container, &cgroup, sizeof(cgroup),
				    &container, sizeof(container), BPF_ANY);
}

int probe__container_remove(struct probe *probe, uint64_t cgroup)
{
	return bpf_map__delete_elem(probe->skel->maps.rt_container, &cgroup, sizeof(cgroup), 0);
}

int probe__stream_set(struct probe *probe, uint64_t inode, dev_t device,
		      const struct stream *stream)
{
	/* the kernel's own dev_t: 12 bits major, 20 bits minor (include/linux/kdev_t.h) */
	struct stream_key key = { .inode = inode, .device = major(device) << 20 | minor(device) };

	return bpf_map__update_elem(probe->skel->maps.rt_stream, &key, sizeof(key), stream,
				    sizeof(*stream), BPF_ANY);
}

int probe__listen_set(struct probe *probe, uint32_t netns, uint16_t port)
{
	struct {
		uint32_t netns;
		uint16_t port;
		uint16_t reserved;
	} key = { .netns = netns, .port = port };
	uint32_t one = 1;

	return bpf_map__update_elem(probe->skel->maps.rt_listen, &key, sizeof(key), &one,
				    sizeof(one), BPF_ANY);
}

int probe__request(struct probe *probe, uint64_t seq, struct request *ret_request)
{
	return bpf_map__lookup_elem(probe->skel->maps.rt_request, &seq, sizeof(seq), ret_request,
				    sizeof(*ret_request), 0);
}

int probe__requests(struct probe *probe, void (*fn)(void *ctx, const struct request *request),
		    void *ctx)
{
	int fd = bpf_map__fd(probe->skel->maps.rt_request);
	uint64_t key, *previous = NULL;
	struct request request;

	/* bounded: a map that changes under the walk may begin anew */
	for (unsigned i = 0; i < 65536 && !bpf_map_get_next_key(fd, previous, &key);
	     i++, previous = &key)
		if (!bpf_map_lookup_elem(fd, &key, &request))
			fn(ctx, &request);
	return 0;
}

/* Calls fn for each key of a map; fn may delete it. */
static void each_key(const struct bpf_map *map, void *key, void *next,
		     void (*fn)(struct probe *probe, const void *key, uint64_t before_ns),
		     struct probe *probe, uint64_t before_ns)
{
	int fd = bpf_map__fd(map);
	size_t size = bpf_map__key_size(map);
	bool more = !bpf_map_get_next_key(fd, NULL, key);

	for (unsigned i = 0; more && i < bpf_map__max_entries(map); i++) {
		more = !bpf_map_get_next_key(fd, key, next);
		fn(probe, key, before_ns);
		memcpy(key, next, size);
	}
}

static void sweep_request(struct probe *probe, const void *key, uint64_t before_ns)
{
	int fd = bpf_map__fd(probe->skel->maps.rt_request);
	struct request request;

	if (bpf_map_lookup_elem(fd, key, &request))
		return;
	/* a request whose process died without closing its connection is never answered */
	if (request.state == RT_REQUEST_OPEN && request.begin_ns < before_ns &&
	    kill(request.tgid, 0) && errno == ESRCH)
		bpf_map_delete_elem(fd, key);
	else if (request.state != RT_REQUEST_OPEN && request.end_ns < before_ns)
		bpf_map_delete_elem(fd, key);
}

static void sweep_owner(struct probe *probe, const void *key, uint64_t before_ns)
{
	int fd = bpf_map__fd(probe->skel->maps.rt_owner);
	struct request request;
	struct owner owner;

	/* an owner newer than the walk points to a request that is newer too, and is found */
	if (!bpf_map_lookup_elem(fd, key, &owner) &&
	    bpf_map_lookup_elem(bpf_map__fd(probe->skel->maps.rt_request), &owner.request,
				&request))
		bpf_map_delete_elem(fd, key);
}

int probe__sweep(struct probe *probe, uint64_t before_ns)
{
	struct unit unit, next_unit;
	uint64_t seq, next_seq;

	each_key(probe->skel->maps.rt_request, &seq, &next_seq, sweep_request, probe, before_ns);
	each_key(probe->skel->maps.rt_owner, &unit, &next_unit, sweep_owner, probe, before_ns);
	return 0;
}

int probe__counters(struct probe *probe, uint64_t *ret)
{
	int fd = bpf_map__fd(probe->skel->maps.rt_counter), cpus = libbpf_num_possible_cpus();
	uint64_t *values;

	if (cpus < 0)
		return cpus;
	values = calloc(cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (uint32_t i = 0; i < RT_COUNTERS; i++) {
		ret[i] = 0;
		if (bpf_map_lookup_elem(fd, &i, values))
			continue;
		for (int cpu = 0; cpu < cpus; cpu++)
			ret[i] += values[cpu];
	}
	free(values);
	return 0;
}
