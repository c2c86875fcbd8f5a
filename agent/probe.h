/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: loads the kernel side, attaches it, and hands out what it says. The only module that
 * sees the skeleton.
 */
#ifndef REQTAP_PROBE_H
#define REQTAP_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "agent/ring.h"
#include "bpf/event.h"

enum probe_plan {
	PROBE_PLAN_AUTO,
	PROBE_PLAN_SYSCALL,
	PROBE_PLAN_FENTRY,
};

struct probe_config {
	enum probe_plan plan;
	uint32_t ring_bytes; /* power of two; 0: 64 MiB */
	uint64_t lineage_grace_ns;
	uint64_t budget_bytes;      /* a container's bytes a second; 0: no limit */
	const char *const *headers; /* NULL-terminated, lower case, first wins */
	bool by_cgroup;             /* targets are cgroups; else the process tree of `run` */
	const char *pin_dir;        /* on a bpffs; NULL: nothing is pinned, see pin.h */
	unsigned verbose;
};

struct probe;

/*
 * Loads and attaches. NULL with a negative errno in *ret_err and one line for the user in
 * *ret_problem (caller frees): what, why, how to mend it.
 */
struct probe *probe__new(const struct probe_config *config, int *ret_err, char **ret_problem);
struct probe *probe__free(struct probe *probe);

/*
 * To be called when the targets of this moment are registered, before the first read: where maps
 * of another contract are replaced, they go on capturing until now. 0 or negative errno.
 */
int probe__begin(struct probe *probe);

/* What was found under `pin_dir`. */
enum probe_origin {
	PROBE_NEW,        /* nothing */
	PROBE_TAKEN_OVER, /* maps of this contract: they are used, with all that is in them */
	PROBE_REPLACED,   /* maps of another: what waits in their ring is read first */
};

enum probe_origin probe__origin(const struct probe *probe);

/* Bytes in the replaced ring that this agent cannot read: lost. Known when begun. */
uint64_t probe__unread(const struct probe *probe);

/* True: the kernel side outlives this process. False, and why not in *ret_reason. */
bool probe__outlives(const struct probe *probe, const char **ret_reason);

/* The plan in use, and why it is that one: for `doctor` and `status`. */
enum probe_plan probe__plan(const struct probe *probe);
const char *probe__plan_reason(const struct probe *probe);

/* Each hook of the plan: the kernel's function or tracepoint, and whether this kernel has it. */
void probe__hooks(const struct probe *probe, void (*fn)(void *ctx, const char *name, bool there),
		  void *ctx);

/* The ring, and the descriptor that is readable when enough waits in it. */
struct ring *probe__ring(struct probe *probe);
int probe__wake_fd(const struct probe *probe);

/*
 * Gives ring space back up to `released`, and says that lines which end before `durable`, a
 * position beyond it, need not be sent by the next agent, though it reads them for what they
 * tell.
 */
void probe__release(struct probe *probe, uint64_t released, uint64_t durable);

/*
 * Before waiting for the wake descriptor: asks the kernel to wake us at the next record. False:
 * records wait already, read them first. A busy reader does not call this and is not woken.
 */
bool probe__arm(struct probe *probe);

/* `run`: `tgid`, not yet past its exec, and what it forks are the target. */
int probe__follow(struct probe *probe, pid_t tgid);

/* Containers by cgroup id; a cgroup inside a container `id` is part of it. */
int probe__container_put(struct probe *probe, uint64_t cgroup, uint64_t id, uint32_t flags);

static inline int probe__container_set(struct probe *probe, uint64_t cgroup, uint32_t flags)
{
	return probe__container_put(probe, cgroup, cgroup, flags);
}

int probe__container_remove(struct probe *probe, uint64_t cgroup);

/*
 * Streams and listening ports of what ran before the attach. `stream->inner`: another process of
 * the container relays it.
 */
int probe__stream_set(struct probe *probe, uint64_t inode, dev_t device,
		      const struct stream *stream);
int probe__listen_set(struct probe *probe, uint32_t netns, uint16_t port);

/* A live request by its sequence number; -ENOENT. */
int probe__request(struct probe *probe, uint64_t seq, struct request *ret_request);

/* Requests in flight and recent, one callback each; for status and for `text` evidence. */
int probe__requests(struct probe *probe, void (*fn)(void *ctx, const struct request *request),
		    void *ctx);

/* Each stream of a container that has lost something, so far. */
void probe__losses(struct probe *probe,
		   void (*fn)(void *ctx, const struct stream_key *key, const struct stream *stream),
		   void *ctx);

/*
 * Forgets the streams of containers that are gone, requests that ended before `before_ns`, and the
 * owners that point to them.
 */
int probe__sweep(struct probe *probe, uint64_t before_ns);

/* For the parts of the kernel side that have a file of their own (agent/runtime_map.h). */
struct bpf_object;
struct bpf_object *probe__object(struct probe *probe);

/* Sums over CPUs; `ret` has RT_COUNTERS places. */
int probe__counters(struct probe *probe, uint64_t *ret);

#endif
