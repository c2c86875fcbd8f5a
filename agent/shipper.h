/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shipper: the way out. Records go into batches, batches into the outbox, and from there to the
 * destination; wired once for `run` and `agent`:
 *
 *   record ─► lane ─► batch ─► outbox ─► export
 *
 * Order per replica is kept while several requests are in flight: a replica belongs to one
 * lane, and a lane has one request in flight. Without a destination records are not kept
 * (there is no backfill) and everything marked is durable at once.
 */
#ifndef REQTAP_SHIPPER_H
#define REQTAP_SHIPPER_H

#include <stdbool.h>
#include <stdint.h>
#include "agent/batch.h"
#include "agent/destination.h"
#include "agent/export.h"
#include "agent/loop.h"
#include "agent/outbox.h"
#include "agent/record.h"

struct shipper_config {
	const char *service_name; /* NULL: "baseten" */
	struct batch_limits batch;
	struct outbox_config outbox; /* dir NULL: in memory */
	/* What is durable may be released; called from shipper__mark() or the loop. */
	void (*durable)(void *ctx, uint64_t position);
	/* One line for the user, when something begins or ends to be wrong. May be NULL. */
	void (*say)(void *ctx, const char *line);
	void *ctx;
};

struct shipper_stats {
	uint64_t records;      /* taken while a destination was set */
	uint64_t sent_records; /* accepted by the receiver */
	uint64_t refused;      /* records of requests that it refused for good */
	uint64_t rejected;     /* records that it rejected in requests that it accepted */
	uint64_t lost_records; /* no memory, or too large for the receiver alone */
	uint64_t latency_ns;   /* of the last accepted request */
	uint64_t accepted_ns;  /* CLOCK_BOOTTIME of it; 0: none yet */
	bool enabled;
	const struct export_stats *export; /* NULL without a destination */
	const struct outbox_stats *outbox; /* includes what was dropped there, and why */
};

struct shipper;

struct shipper *shipper__new(struct loop *loop, const struct shipper_config *config);
struct shipper *shipper__free(struct shipper *shipper);

/* Where to, from now on; NULL or one that is not enabled: nowhere. Copied. 0 or -ENOMEM. */
int shipper__set_destination(struct shipper *shipper, const struct destination *destination);

/* A record_fn; `ctx` is the shipper. */
void shipper__record(void *ctx, const struct record *record);

/* All records before `position` of the ring have been given. */
void shipper__mark(struct shipper *shipper, uint64_t position);

/*
 * Sends what waits, then calls `done` with how many records are left; at `deadline_ns` at the
 * latest. With an outbox on disk, what is left there is sent by the next one.
 */
void shipper__drain(struct shipper *shipper, uint64_t deadline_ns,
		    void (*done)(void *ctx, uint64_t records_left), void *ctx);

void shipper__stats(const struct shipper *shipper, struct shipper_stats *ret);

#endif
