/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "agent/counter.h"
#include "agent/header.h"
#include "agent/pin.h"
#include "agent/plan.h"
#include "agent/requests.h"
#include "agent/streams.h"
#include "agent/takeover.h"
#include "agent/uprobe.h"
#include "bpf/http.h"
#include "reqtap.skel.h"

#define OVERLAP_NS 5000000ULL

struct probe {
	struct reqtap *skel;
	struct links links;
	struct control *control;
	struct ring *ring;
	int wake_fd;
	enum probe_plan plan;
	enum plan_hooks hooks;
	char reason[160]; /* why it is this plan */
	char *pin_dir;
	int pin_lock;
	int pin_err; /* why the attachments are not pinned */
	enum probe_origin origin;
	struct pin_old old;
};

static int problem(char **ret_problem, int err, const char *what)
{
	if (asprintf(ret_problem, "%s: %s; `reqtap doctor` tells what is missing", what,
		     strerror(-err)) < 0)
		*ret_problem = NULL;
	return err;
}

static uint64_t now_ns(void)
{
	struct timespec now = { 0 };

	return clock_gettime(CLOCK_BOOTTIME, &now), now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void configure(struct reqtap *skel, const struct probe_config *config)
{
	struct bpf_program *program;

	skel->rodata->rt_by_cgroup = config->by_cgroup;
	skel->rodata->rt_set = (uint32_t)(now_ns() >> 20) | 1; /* one an agent */
	skel->rodata->rt_grace_ns = config->lineage_grace_ns;
	skel->rodata->rt_budget = config->budget_bytes;
	for (int i = 0; i < RT_HEADERS_MAX && config->headers && config->headers[i]; i++)
		header__add(&skel->rodata->rt_headers, i, config->headers[i]);
	memcpy((void *)skel->rodata->rt_nr, plan_numbers, sizeof(plan_numbers));
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

	probe->ring = ring__new(fd, probe->control->durable, probe->control->from_ns, &err);
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
	probe->control->ring_contract = RT_RING_CONTRACT;
	probe->control->agent_tgid = getpid();
	if (probe->origin != PROBE_TAKEN_OVER)
		probe->control->set = probe->skel->rodata->rt_set;
	return 0;
}

/* The object, set up; with what is pinned for its maps, if that is of this contract. */
static int open_object(struct probe *probe, const struct probe_config *config)
{
	int err = 0;

	probe->skel = reqtap__open();
	if (!probe->skel)
		return -errno;
	configure(probe->skel, config);
	if (!probe->pin_dir || probe->origin == PROBE_REPLACED)
		return 0;
	err = pin__reuse(probe->skel->obj, probe->pin_dir);
	if (!err)
		probe->origin = PROBE_TAKEN_OVER;
	if (err != -ESTALE)
		return err == -ENOENT ? 0 : err;
	/* some maps may have been given theirs already */
	probe->origin = PROBE_REPLACED;
	reqtap__destroy(probe->skel);
	return open_object(probe, config);
}

/* Where the maps go that are not taken over; those of a plan that could not be had go first. */
static int pin_maps(struct probe *probe)
{
	char dir[PIN_PATH_MAX];

	if (!probe->pin_dir || probe->origin == PROBE_TAKEN_OVER)
		return 0;
	snprintf(dir, sizeof(dir), "%s%s", probe->pin_dir,
		 probe->origin == PROBE_REPLACED ? "-new" : "");
	if (probe->origin == PROBE_REPLACED) {
		pin__remove(dir);
		if (mkdir(dir, 0700))
			return -errno;
	}
	return pin__maps(probe->skel->obj, dir);
}

/* The programs are attached: from now on they outlive us, and what was attached before goes. */
static int pin_links(struct probe *probe)
{
	char dir[PIN_PATH_MAX], set[PIN_PATH_MAX];

	if (!probe->pin_dir)
		return 0;
	snprintf(dir, sizeof(dir), "%s%s", probe->pin_dir,
		 probe->origin == PROBE_REPLACED ? "-new" : "");
	probe->pin_err = pin__links(&probe->links, dir, set);
	if (probe->pin_err && probe->pin_err != -EOPNOTSUPP)
		return probe->pin_err;
	takeover__begin(probe->control, bpf_map__fd(probe->skel->maps.rt_taken),
			probe->skel->rodata->rt_set);
	if (!probe->pin_err)
		pin__keep(dir, set);
	takeover__end(probe->control);
	return 0;
}

/* Both rings hold the writes of a moment: from_ns is before it by more than a program runs. */
static int replace(struct probe *probe)
{
	char dir[PIN_PATH_MAX];
	int lock;

	snprintf(dir, sizeof(dir), "%s-new", probe->pin_dir);
	lock = pin__lock(dir);
	if (lock < 0)
		return lock;
	close(probe->pin_lock);
	probe->pin_lock = lock;
	probe->control->from_ns = now_ns() - OVERLAP_NS;
	return pin__replace(probe->pin_dir);
}

int probe__begin(struct probe *probe)
{
	int err = probe->origin == PROBE_REPLACED ? replace(probe) : 0;

	if (!err && probe->pin_dir)
		err = pin__old(probe->pin_dir, &probe->old);
	if (!err)
		err = watch_ring(probe);
	if (!err && probe->old.ring)
		ring__follow(probe->ring, probe->old.ring);
	if (!err && probe->old.unread)
		pin__forget_old(probe->pin_dir);
	return err;
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
	err = open_object(probe, config);
	if (err)
		return err;
	err = plan__choose(probe->skel->obj, plan, &probe->hooks, ret_what);
	if (err)
		return err;
	uprobe__prepare(probe->skel->obj);
	*ret_what = plan == PROBE_PLAN_FENTRY ? "the kernel refuses the programs of its functions"
					      : "the kernel refuses reqtap's BPF programs";
	err = reqtap__load(probe->skel);
	if (err)
		return err;
	*ret_what = "cannot pin the maps";
	err = pin_maps(probe);
	if (err)
		return err;
	*ret_what = plan == PROBE_PLAN_FENTRY ? "cannot attach to the kernel's functions"
					      : "cannot attach to the kernel's tracepoints";
	err = map_control(probe);
	if (!err)
		err = plan__attach(probe->skel->obj, probe->hooks, &probe->links);
	return err;
}

/* The fentry plan where it can be had, by trying; the syscall plan otherwise. */
static int start_best(struct probe *probe, const struct probe_config *config, const char **ret_what)
{
	int err;

	if (config->plan != PROBE_PLAN_SYSCALL) {
		err = start(probe, config, PROBE_PLAN_FENTRY, ret_what);
		snprintf(probe->reason, sizeof(probe->reason), "%s", hooks__reason(probe->hooks));
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

static int open_pins(struct probe *probe, const struct probe_config *config, const char **ret_what)
{
	if (!config->pin_dir)
		return 0;
	*ret_what = "cannot pin under --pin-dir";
	probe->pin_dir = strdup(config->pin_dir);
	if (!probe->pin_dir)
		return -ENOMEM;
	probe->pin_lock = pin__open(probe->pin_dir);
	if (probe->pin_lock == -EBUSY)
		*ret_what = "another agent has this --pin-dir";
	if (probe->pin_lock == -ENOTSUP)
		*ret_what = "--pin-dir is on no BPF file system; " PIN_DIR " would be right";
	return probe->pin_lock < 0 ? probe->pin_lock : 0;
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
	probe->wake_fd = probe->pin_lock = -1;
	*ret_err = open_pins(probe, config, &what);
	if (!*ret_err)
		*ret_err = start_best(probe, config, &what);
	if (!*ret_err) {
		what = "cannot pin the attachments";
		*ret_err = pin_links(probe);
	}
	if (!*ret_err)
		return probe;
	problem(ret_problem, *ret_err, what);
	return probe__free(probe);
}

static void close_old(struct probe *probe)
{
	while (probe->old.count)
		close(probe->old.requests[--probe->old.count]);
}

struct probe *probe__free(struct probe *probe)
{
	if (!probe)
		return NULL;
	stop(probe);
	close_old(probe);
	if (probe->pin_lock >= 0)
		close(probe->pin_lock);
	free(probe->pin_dir);
	free(probe);
	return NULL;
}

enum probe_origin probe__origin(const struct probe *probe)
{
	return probe->origin;
}

uint64_t probe__unread(const struct probe *probe)
{
	return probe->old.unread;
}

bool probe__outlives(const struct probe *probe, const char **ret_reason)
{
	*ret_reason = !probe->pin_dir ? "nothing is pinned"
		      : probe->pin_err
			      ? "kernels before 5.15 detach tracepoints when their process ends"
			      : NULL;
	return !*ret_reason;
}

/* The replaced maps are needed until all that waited in their ring is durable. */
static void forget_old(struct probe *probe)
{
	close_old(probe);
	probe->old.ring = NULL;
	pin__forget_old(probe->pin_dir);
}

void probe__release(struct probe *probe, uint64_t released, uint64_t durable)
{
	uint64_t base = ring__base(probe->ring);

	if (durable > base && durable - base > probe->control->durable)
		__atomic_store_n(&probe->control->durable, durable - base, __ATOMIC_RELEASE);
	ring__release(probe->ring, released);
	if (probe->old.ring && released >= base)
		forget_old(probe);
}

const char *probe__plan_reason(const struct probe *probe)
{
	return probe->reason;
}

void probe__hooks(const struct probe *probe, void (*fn)(void *ctx, const char *name, bool there),
		  void *ctx)
{
	plan__each(probe->skel->obj, probe->hooks, fn, ctx);
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

	return err ? err
		   : bpf_map__update_elem(probe->skel->maps.rt_process, &key, sizeof(key), &id,
					  sizeof(id), BPF_ANY);
}

int probe__container_put(struct probe *probe, uint64_t cgroup, uint64_t id, uint32_t flags)
{
	struct container value = { .flags = flags, .id = id };

	return bpf_map__update_elem(probe->skel->maps.rt_container, &cgroup, sizeof(cgroup), &value,
				    sizeof(value), BPF_ANY);
}

int probe__container_remove(struct probe *probe, uint64_t cgroup)
{
	bpf_map__delete_elem(probe->skel->maps.rt_started, &cgroup, sizeof(cgroup), 0);
	return bpf_map__delete_elem(probe->skel->maps.rt_container, &cgroup, sizeof(cgroup), 0);
}

int probe__stream_set(struct probe *probe, uint64_t inode, dev_t device,
		      const struct stream *stream)
{
	const struct reqtap *skel = probe->skel;

	/* the next program that it executes is not its first */
	if (!stream->inner)
		bpf_map__update_elem(skel->maps.rt_started, &stream->container,
				     sizeof(stream->container), &(uint32_t){ 1 }, sizeof(uint32_t),
				     BPF_ANY);
	return streams__set(bpf_map__fd(stream->inner ? skel->maps.rt_inner : skel->maps.rt_stream),
			    inode, device, stream);
}

int probe__listen_set(struct probe *probe, uint32_t netns, uint16_t port)
{
	struct listen_key key = { .netns = netns, .port = port };

	return bpf_map__update_elem(probe->skel->maps.rt_listen, &key, sizeof(key),
				    &(uint32_t){ 1 }, sizeof(uint32_t), BPF_ANY);
}

int probe__request(struct probe *probe, uint64_t seq, struct request *ret_request)
{
	int err = bpf_map__lookup_elem(probe->skel->maps.rt_request, &seq, sizeof(seq), ret_request,
				       sizeof(*ret_request), 0);

	for (unsigned i = 0; i < probe->old.count && err == -ENOENT; i++)
		err = bpf_map_lookup_elem(probe->old.requests[i], &seq, ret_request);
	return err;
}

int probe__requests(struct probe *probe, void (*fn)(void *ctx, const struct request *request),
		    void *ctx)
{
	return requests__each(bpf_map__fd(probe->skel->maps.rt_request), fn, ctx);
}

void probe__losses(struct probe *probe,
		   void (*fn)(void *ctx, const struct stream_key *key, const struct stream *stream),
		   void *ctx)
{
	streams__losses(bpf_map__fd(probe->skel->maps.rt_stream), fn, ctx);
}

int probe__sweep(struct probe *probe, uint64_t before_ns)
{
	__typeof__(probe->skel->maps) *m = &probe->skel->maps;

	streams__sweep(bpf_map__fd(m->rt_stream), bpf_map__fd(m->rt_container));
	return requests__sweep(bpf_map__fd(m->rt_request), bpf_map__fd(m->rt_owner),
			       bpf_map__fd(m->rt_conn), bpf_map__fd(m->rt_h2_stream), before_ns);
}

struct bpf_object *probe__object(struct probe *probe)
{
	return probe->skel->obj;
}

int probe__counters(struct probe *probe, uint64_t *ret)
{
	return counter__read(bpf_map__fd(probe->skel->maps.rt_counter), probe->skel->obj, ret);
}
