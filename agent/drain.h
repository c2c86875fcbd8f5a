/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain: reads the ring on a loop, in rounds, and gives its space back when that is safe.
 *
 * A round reads what waits and then rests a few milliseconds, so that a busy node is read in
 * batches and its programs never pay for a wake-up; an idle one sleeps until it is woken.
 */
#ifndef REQTAP_DRAIN_H
#define REQTAP_DRAIN_H

#include "agent/loop.h"
#include "agent/pipeline.h"
#include "agent/probe.h"

#define DRAIN_REST_NS 5000000ULL
#define DRAIN_ROUND_RECORDS 65536

struct drain_config {
	struct probe *probe;
	struct pipeline *pipeline;
	/*
	 * After each round: what was read up to `mark` went through the pipeline. Marks increase by
	 * rounds and are no positions. Who is told calls drain__release() when the records are
	 * durable.
	 */
	void (*round)(void *ctx, uint64_t mark);
	/* Each record, besides the pipeline's own use of it; may be NULL. */
	void (*event)(void *ctx, const struct event *event);
	void *ctx;
};

struct drain;

/* The probe begins: its targets are registered. NULL with a negative errno in *ret_err. */
struct drain *drain__new(struct loop *loop, const struct drain_config *config, int *ret_err);
struct drain *drain__free(struct drain *drain);

/* Reads all that waits now, at most one ring full. */
void drain__now(struct drain *drain);

/* And makes lines of all that is unfinished: nothing more will come. */
void drain__finish(struct drain *drain);

/*
 * Reads what waits, and no more: what comes, and the rest of what is unfinished, waits in the ring
 * for the next agent. Lines that are complete go out: what was sent after them is then durable,
 * too.
 */
void drain__stop(struct drain *drain);

/*
 * All records that were out at `mark` are durable. Ring space is given back up to where a line
 * begins that was unfinished then: the next agent, should this one be killed, reads it from there.
 */
void drain__release(struct drain *drain, uint64_t mark);

#endif
