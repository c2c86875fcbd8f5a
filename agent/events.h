/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events: what happens to deployments of the whole cluster, told once: of several replicas the one
 * that holds the Lease tells. Captures nothing; runs anywhere in the cluster until SIGTERM.
 */
#ifndef REQTAP_EVENTS_H
#define REQTAP_EVENTS_H

#include "agent/connection.h"
#include "agent/kube.h"
#include "agent/kube_http.h"

struct events_config {
	struct kube_http_config http;
	struct kube_rules rules;
	struct connection_config connection;
	const char *lease_space, *lease_name, *lease_holder;
	uint32_t lease_duration_s;
};

/* The exit status; prints what is wrong. */
int events__run(const struct events_config *config);

#endif
