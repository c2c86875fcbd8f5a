/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats: one moment of the whole agent, as status, metrics and the probes show it. Filled by
 * agent.c, which alone knows all stages; what reads it knows none.
 */
#ifndef REQTAP_STATS_H
#define REQTAP_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "agent/container.h"
#include "agent/hold.h"
#include "agent/kube_watch.h"
#include "agent/pipeline.h"
#include "agent/shipper.h"
#include "bpf/event.h"

#define STATS_PROGRAMS_MAX 128
#define STATS_RUNTIMES_MAX 32

/* What the kernel spent in one program; all 0 unless kernel.bpf_stats_enabled is set. */
struct stats_program {
	char name[16];
	uint64_t run_ns;
	uint64_t runs;
};

/* A language runtime or library of the targets: struct runtime_info of agent/runtime.h, copied. */
struct stats_runtime {
	char name[16];
	char version[32];
	char path[128];
	char unit[16]; /* what its lines are told apart by; "" */
	char why[48];  /* that is not its own unit; "" */
	unsigned processes;
};

struct stats {
	uint64_t up_ns;
	uint64_t now_unix_ns;
	const char *plan; /* "fentry" or "syscall" */
	const char *plan_reason;
	uint64_t kernel[RT_COUNTERS];
	struct pipeline_stats pipeline;
	struct shipper_stats shipper;
	struct container_stats containers;
	uint64_t ring_bytes; /* its size */
	uint64_t ring_waiting_bytes;
	uint64_t ring_held_bytes; /* read, and kept until its lines are durable */
	uint64_t requests_open;
	struct hold_stats hold; /* records that wait for their metadata */
	bool has_metadata;      /* a source of pods is configured */
	struct kube_watch_stats metadata;
	uint64_t metadata_age_ns; /* since it last spoke */
	struct stats_program programs[STATS_PROGRAMS_MAX];
	unsigned program_count;
	struct stats_runtime runtimes[STATS_RUNTIMES_MAX];
	unsigned runtime_count; /* of all: those beyond the table are not in it */
};

/* The Prometheus text format, version 0.0.4. */
void stats__metrics(const struct stats *stats, FILE *out);

/* One JSON object; the caller frees. NULL: out of memory. */
char *stats__json(const struct stats *stats);

/* Ten lines for a person. */
void stats__text(const struct stats *stats, FILE *out);

/* Ready: what is captured gets out. NULL, or why it is not. */
const char *stats__unready(const struct stats *stats);

#endif
