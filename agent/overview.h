/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overview: gathers the stats of all stages once a second and publishes them.
 */
#ifndef REQTAP_OVERVIEW_H
#define REQTAP_OVERVIEW_H

#include "agent/container.h"
#include "agent/hold.h"
#include "agent/loop.h"
#include "agent/metadata.h"
#include "agent/pipeline.h"
#include "agent/probe.h"
#include "agent/publish.h"
#include "agent/runtime.h"
#include "agent/shipper.h"

/* All belong to the caller and outlive the overview. */
struct overview_config {
	struct probe *probe;
	const struct pipeline *pipeline;
	const struct shipper *shipper;
	const struct container_table *containers;
	struct runtime_table *runtimes;
	const struct metadata *metadata; /* NULL: none is configured */
	const struct hold *hold;
	struct publish *publish;
};

struct overview;

/* NULL: out of memory. */
struct overview *overview__new(struct loop *loop, const struct overview_config *config);
struct overview *overview__free(struct overview *overview);

#endif
