/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow: what matches, as it comes, in order of time and each once.
 *
 * Streams are written side by side, so their lines reach history in turns of FOLLOW_HOLD_NS at
 * most. A line is shown that long after its write, and so all streams' lines are in order. What
 * comes later still (the agent was held up) is shown when it comes.
 */
#ifndef REQTAP_FOLLOW_H
#define REQTAP_FOLLOW_H

#include "agent/search.h"

#define FOLLOW_HOLD_NS 130000000ULL
#define FOLLOW_POLL_NS 20000000ULL /* how often to call follow__poll() */

struct follow;

/* Waits for a history where there is none yet. NULL: no memory. */
struct follow *follow__new(const char *dir, const struct query *query);
struct follow *follow__free(struct follow *follow);

/* Before the first poll: the newest `limit` records so far, or all that come after a place. 0 or
 * negative errno. */
int follow__backlog(struct follow *follow, size_t limit, uint64_t since_ns, search_fn fn,
		    void *ctx);
int follow__resume(struct follow *follow, const struct search_place *after, search_fn fn,
		   void *ctx);

/* What is due. 0; -EPIPE: fn returned false; other negative errno: the file cannot be read. */
int follow__poll(struct follow *follow, uint64_t now_unix_ns, search_fn fn, void *ctx);

#endif
