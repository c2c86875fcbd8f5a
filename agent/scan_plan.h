/* SPDX-License-Identifier: Apache-2.0 */
/* scan_plan: what a search looks for in the file, and whether a chunk can hold it. Pure. */
#ifndef REQTAP_SCAN_PLAN_H
#define REQTAP_SCAN_PLAN_H

#include "agent/store.h"

#define SCAN_ALTERNATIVES 16
/* How much later a record may arrive than one that is newer. */
#define SCAN_SLACK_NS 60000000000ULL

/* One of several probes must hit. */
struct scan_group {
	struct filter_probe probes[SCAN_ALTERNATIVES];
	unsigned count; /* 0: says nothing */
};

/* What may match; a chunk that is left out certainly does not. */
struct scan_plan {
	uint64_t since_ns, until_ns; /* from since on, before until */
	unsigned levels;             /* bit mask of chunk__level() */
	bool notices;                /* chunks in which records are missing match too */
	/* Any of these must be there: a question for requests needs no filter, and asks none. */
	uint32_t keys[SCAN_ALTERNATIVES]; /* keys.h */
	unsigned key_count;               /* 0: no request is asked for, or too many are */
	struct scan_group *groups;        /* all must hit */
	unsigned group_count;
};

bool scan_plan__overlaps(const struct scan_plan *plan, uint64_t first_ns, uint64_t last_ns);

/* So far behind the time asked for that nothing older can follow. */
bool scan_plan__is_beyond(const struct scan_plan *plan, uint64_t first_ns);

/* By times, levels and notices. */
bool scan_plan__may_match(const struct scan_plan *plan, const struct store_block *block);

/* By a block's own map, of which `bit` reads a bit. */
bool scan_plan__map_hits(const struct scan_plan *plan, bool (*bit)(void *ctx, uint32_t bit),
			 void *ctx);

#endif
