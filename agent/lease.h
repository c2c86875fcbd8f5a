/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease: one of several processes leads, by a Lease of the cluster, as client-go's leaderelection
 * does it: a lease that did not change for its duration, by our own clock, may be taken; who cannot
 * renew for two thirds of it leads no more.
 */
#ifndef REQTAP_LEASE_H
#define REQTAP_LEASE_H

#include <stdbool.h>
#include <stdint.h>
#include "agent/kube_http.h"

struct lease_config {
	struct kube_http *http;
	const char *space, *name;
	const char *holder; /* who we are; differs from process to process */
	uint32_t duration_s;
	void (*changed)(void *ctx, bool leads);
	void (*say)(void *ctx, const char *line);
	void *ctx;
};

struct lease;

/* Begins at once; strings stay the caller's. NULL: out of memory. */
struct lease *lease__new(struct loop *loop, const struct lease_config *config);
struct lease *lease__free(struct lease *lease);

bool lease__leads(const struct lease *lease);

/* When the leader before was last heard of: what came since may not have been told. */
uint64_t lease__vacant_ns(const struct lease *lease);

/* Gives it back, so that another need not wait for its end; `done` is called in any case. */
void lease__release(struct lease *lease, void (*done)(void *ctx), void *ctx);

#endif
