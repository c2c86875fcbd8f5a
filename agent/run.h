/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run: one command under capture, from its first byte until it and all it started have ended.
 */
#ifndef REQTAP_RUN_H
#define REQTAP_RUN_H

#include "agent/console.h"
#include "agent/destination.h"
#include "agent/keep.h"
#include "agent/pipeline.h"
#include "agent/probe.h"
#include "agent/shipper.h"

struct run_config {
	struct probe_config probe;
	struct pipeline_config pipeline; /* its sink and look-up are run's own */
	struct replica given;
	enum console_format output;
	const struct destination *destination; /* NULL: nothing is exported */
	struct keep_config keep; /* state_dir NULL: nothing is kept, and the outbox is in memory */
};

/* Returns the command's own status (128 + signal), 126 or 127 when it could not be executed, or
 * 77 when capture cannot work: the command was not started then. Prints what is wrong. */
int run__command(const struct run_config *config, char **command);

#endif
