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
#include "agent/plan.h"
#include "bpf/http.h"
#include "reqtap.skel.h"

struct probe {
	struct reqtap *skel;
	struct links links;
	struct control *control;
	struct ring *ring;
	int wake_fd;
	enum probe_plan plan;
	char reason[160]; /* why it is this plan */
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

/* Undoes start(), whole or half done. */
static void stop(struct probe *probe)
{
	links__destroy(&probe->links);
	probe->ring = ring__free(probe->ring);
	if (probe->wake_fd >= 0)
		close(probe->wake_fd);
	probe->wake_fd = -1;
	if (probe->control)
		munmap(probe->control, sysconf(_SC_PAGESIZE));
	probe->control = NULL;
	reqtap__destroy(probe->skel);
	probe->skel = NULL;
}

/* One plan, from the object to the last attach. *ret_what: what failed. */
static int start(struct probe *probe, const struct probe_config *config, enum probe_plan plan,
		 const char **ret_what)
{
	int err;

	probe->plan = plan;
	*ret_what = "cannot open the BPF object";
	probe->skel = reqtap__open();
	if (!probe->skel)
		return -errno;
	configure(probe->skel, config);
	*ret_what = "the kernel lacks a function that the fentry plan hooks";
	err = plan__choose(probe->skel->obj, plan);
	if (err)
		return err;
	*ret_what = plan == PROBE_PLAN_FENTRY ? "the kernel refuses BPF trampolines"
					      : "the kernel refuses reqtap's BPF programs";
	err = reqtap__load(probe->skel);
	if (err)
		return err;
	*ret_what = plan == PROBE_PLAN_FENTRY ? "cannot attach to the kernel's functions"
					      : "cannot attach to the kernel's tracepoints";
	err = map_control(probe);
	if (!err)
		err = watch_ring(probe);
	if (!err)
		err = plan__attach(probe->skel->obj, plan, &probe->links);
	return err;
}

/* The fentry plan where it can be had, by trying; the syscall plan otherwise. */
static int start_best(struct probe *probe, const struct probe_config *config, const char **ret_what)
{
	int err;

	if (config->plan != PROBE_PLAN_SYSCALL) {
		err = start(probe, config, PROBE_PLAN_FENTRY, ret_what);
		snprintf(probe->reason, sizeof(probe->reason), "%s",
			 "the kernel attaches BPF trampolines");
		if (!err || config->plan == PROBE_PLAN_FENTRY)
			return err;
		stop(probe);
		snprintf(probe->reason, sizeof(probe->reason), "no fentry plan: %s: %s", *ret_what,
			 strerror(-err));
	} else {
		snprintf(probe->reason, sizeof(probe->reason), "asked for");
	}
	return start(probe, config, PROBE_PLAN_SYSCALL, ret_what);
}

struct probe *probe__new(const struct probe_config *config, int *ret_err, char **ret_problem)
{
	struct probe *probe = calloc(1, sizeof(*probe));
	const char *what = NULL;

	*ret_problem = NULL;
	*ret_err = -ENOMEM;
	if (!probe)
		return NULL;
	if (!config->verbose)
		libbpf_set_print(silent);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	probe->wake_fd = -1;
	*ret_err = start_best(probe, config, &what);
	if (!*ret_err)
		return probe;
	problem(ret_problem, *ret_err, what);
	return probe__free(probe);
}

struct probe *probe__free(struct probe *probe)
{
	if (!probe)
		return NULL;
	stop(probe);
	free(probe);
	return NULL;
}

const char *probe__plan_reason(const struct probe *probe)
{
	return probe->reason;
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
