/* SPDX-License-Identifier: Apache-2.0 */
/*
 * match: whether a record is what a query asks for, and what to look for in the file.
 *
 * Whose line a record is stands in the table of identities, so that part of a query is answered
 * once for each identity. environment:E means every record with that environment, and those of a
 * deployment that was active in E, from then on, as long as it is in no other: during a roll-out
 * the old deployment still serves, and is in no environment any more.
 */
#ifndef REQTAP_MATCH_H
#define REQTAP_MATCH_H

#include "agent/query.h"
#include "agent/scan.h"

struct match;

/* Copies the query. NULL: no memory. */
struct match *match__new(const struct query *query);
struct match *match__free(struct match *match);

/* Reads the table of identities (anew). 0 or negative errno. */
int match__identities(struct match *match, struct scan *scan);

const struct query *match__query(const struct match *match);

/* What the query's terms mean for chunks; times are the caller's. Lives as long as the match, and
 * is made anew by match__identities(). */
struct scan_plan *match__plan(struct match *match);

/*
 * Fills in record->replica and answers. A notice of missing records matches every query but one for
 * a request. Negative errno: its identity is not known and the table could not be read.
 */
int match__record(struct match *match, struct scan *scan, struct record *record,
		  const struct chunk_entry *entry);

/* True: only times and levels count, so a block's counts are an answer. */
bool match__is_plain(const struct match *match);

#endif
