/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scaling: what the workload's own events say of a deployment: activated, scaled up and down,
 * scaled to zero, woken. Pure but for what it remembers of each workload.
 */
#ifndef REQTAP_SCALING_H
#define REQTAP_SCALING_H

#include "agent/deploy.h"
#include "agent/kube.h"

#define SCALING_WORKLOADS_MAX 4096

/* "Scaled up replica set X from 0 to 1", or "… to 1 from 0", or "… to 1": 0, or -EPROTO. `ret_from`
 * is -1 where it is not said; `ret_set`: the replica set's name, not terminated. */
int scaling__parse(const char *message, struct str *ret_set, int *ret_from, int *ret_to);

struct scaling;

struct scaling *scaling__new(void);
struct scaling *scaling__free(struct scaling *scaling);

/* A pod_fn: whose a workload is, is known by its pods, also when it has none any more. */
void scaling__pod(struct scaling *scaling, const struct pod *before, const struct pod *now);

/* Calls fn where the event says something of a workload whose pods were seen. */
void scaling__event(struct scaling *scaling, const struct kube_event *event,
		    void (*fn)(void *ctx, const struct replica *replica, enum severity severity,
			       const char *text),
		    void *ctx);

#endif
