/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent: the node daemon: the kernel side, the containers of this node, the stages and the way
 * out, wired on one loop. Runs until SIGTERM or SIGINT.
 */
#ifndef REQTAP_AGENT_H
#define REQTAP_AGENT_H

#include "agent/connection.h"
#include "agent/keep.h"
#include "agent/metadata.h"
#include "agent/pipeline.h"
#include "agent/probe.h"
#include "agent/record.h"

struct agent_config {
	struct probe_config probe;
	struct pipeline_config pipeline; /* its sink and look-up are the agent's own */
	struct replica given;            /* members that hold for every container */
	struct connection_config connection;
	struct keep_config
		keep; /* state_dir NULL: nothing is kept; its routes are the agent's own */
	const char *const *globs;    /* NULL-terminated: which cgroups are containers */
	const char *const *sidecars; /* NULL-terminated: names of containers that are left out */
	struct metadata_config
		metadata; /* node NULL: no Kubernetes; callbacks are the agent's own */
};

/* The exit status; prints what is wrong. */
int agent__run(const struct agent_config *config);

#endif
