/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod: what the agent keeps of a pod, and the table of those of this node. Knows no JSON.
 */
#ifndef REQTAP_POD_H
#define REQTAP_POD_H

#include <stdbool.h>
#include <stdint.h>
#include "agent/identity.h"

#define POD_UID_MAX 40
#define POD_NAME_MAX 64 /* of a container: a DNS label */
#define POD_REASON_MAX 64
#define POD_CONTAINERS_MAX 64

enum pod_state {
	POD_WAITING,
	POD_RUNNING,
	POD_TERMINATED,
};

struct pod_container {
	char name[POD_NAME_MAX];
	char id[65]; /* 64 hexadecimal digits; "": not made yet */
	char reason[POD_REASON_MAX];
	char last_reason[POD_REASON_MAX]; /* of the run before this one, with its exit code */
	int exit_code, last_exit_code;
	unsigned restarts;
	enum pod_state state;
	bool ready;
	bool init; /* runs before the others, or beside them (a native side-car) */
};

enum pod_phase {
	POD_PENDING,
	POD_ACTIVE, /* "Running" */
	POD_SUCCEEDED,
	POD_FAILED,
	POD_UNKNOWN,
};

struct pod {
	char uid[POD_UID_MAX]; /* as in cgroup paths; of a static pod its config.hash */
	char *name;
	char *space; /* its namespace */
	char *owner; /* the controller's name, such as a ReplicaSet's; NULL: none */
	char owner_kind[32];
	struct identity early, late; /* identity.h */
	char reason[POD_REASON_MAX]; /* why it failed: "Evicted" */
	enum pod_phase phase;
	bool selected; /* by --selector, or by what it says of itself */
	bool build;    /* it builds an image */
	bool scheduled, ready, deleting;
	unsigned count;
	struct pod_container containers[];
};

/* Empty, with room for `count` containers. NULL: out of memory. */
struct pod *pod__new(unsigned count);
struct pod *pod__free(struct pod *pod);

/* What the pod says, early before late. Points into it. */
struct replica pod__replica(const struct pod *pod);

/* By the last part of a cgroup's path; NULL. */
const struct pod_container *pod__container(const struct pod *pod, const char *id);

/*
 * A pod appeared (`before` NULL), changed, or is gone (`now` NULL). Both live until the function
 * returns.
 */
typedef void (*pod_fn)(void *ctx, const struct pod *before, const struct pod *now);

struct pod_table;

/* At most `max` pods; more are counted and left out. NULL: out of memory. */
struct pod_table *pod_table__new(unsigned max, pod_fn fn, void *ctx);
struct pod_table *pod_table__free(struct pod_table *table);

/* Takes `pod` over, in any case. */
void pod_table__put(struct pod_table *table, struct pod *pod);
void pod_table__remove(struct pod_table *table, const char *uid);

/* A whole list: what is not put between begin and end is gone. */
void pod_table__list_begin(struct pod_table *table);
void pod_table__list_end(struct pod_table *table);

const struct pod *pod_table__find(const struct pod_table *table, const char *uid);
unsigned pod_table__count(const struct pod_table *table);
uint64_t pod_table__left_out(const struct pod_table *table);

#endif
