/* SPDX-License-Identifier: Apache-2.0 */
/* scan_filter: asks the filters (filter.h) in history's file what a plan looks for. */
#ifndef REQTAP_SCAN_FILTER_H
#define REQTAP_SCAN_FILTER_H

#include <sqlite3.h>
#include "agent/scan_plan.h"

struct scan_filter;

/* `db` outlives it. NULL with *ret_err. */
struct scan_filter *scan_filter__new(sqlite3 *db, int *ret_err);
struct scan_filter *scan_filter__free(struct scan_filter *filter);

/* Takes out of *mask the blocks of a segment that cannot match. 0 or negative errno. */
int scan_filter__segment(struct scan_filter *filter, const struct scan_plan *plan,
			 int64_t first_seq, uint32_t *mask);

/* Of a block that is in no segment. True also when its map cannot be read: then the block itself is
 * the judge. */
bool scan_filter__block(struct scan_filter *filter, const struct scan_plan *plan, int64_t seq);

#endif
