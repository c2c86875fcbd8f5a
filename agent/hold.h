/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold: records that came before it is known whose they are. They wait in order, bounded in bytes;
 * how long is the caller's verdict. What is held is not yet given on, so neither is the ring's
 * mark.
 */
#ifndef REQTAP_HOLD_H
#define REQTAP_HOLD_H

#include <stddef.h>
#include <stdint.h>
#include "agent/record.h"

#define HOLD_BYTES (4U << 20)

enum hold_verdict {
	HOLD_WAIT,
	HOLD_TAKE,  /* it goes out */
	HOLD_LEAVE, /* it is not ours */
	HOLD_LOSE,  /* nor is this: whose it is was not known in time */
};

struct hold_config {
	size_t max_bytes; /* 0: HOLD_BYTES */
	/* Of a container, now; `forced`: there is no room to wait, so never HOLD_WAIT. */
	enum hold_verdict (*verdict)(void *ctx, uint64_t container, bool forced);
	record_fn sink; /* record->container says whose; record->replica is the caller's to set */
	void *ctx;
};

struct hold_stats {
	uint64_t held, forced; /* records, in all */
	uint64_t lost;         /* likewise: HOLD_LOSE */
	size_t bytes;          /* now */
};

struct hold;

struct hold *hold__new(const struct hold_config *config);
struct hold *hold__free(struct hold *hold);

/* Passes the record on, drops it, or keeps a copy; `mark`: what was marked before it. */
void hold__record(struct hold *hold, const struct record *record, uint64_t mark);

/* Verdicts may have changed. */
void hold__settle(struct hold *hold);

/* Everything goes as it can. */
void hold__flush(struct hold *hold);

/* `mark`, or less, when a record from before it is held. */
uint64_t hold__mark(const struct hold *hold, uint64_t mark);

const struct hold_stats *hold__stats(const struct hold *hold);

#endif
