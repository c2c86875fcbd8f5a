/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster: the replicas seen, each with a number: history's identities, and those that `reqtap top`
 * shows. A change of any text makes a new one.
 */
#ifndef REQTAP_ROSTER_H
#define REQTAP_ROSTER_H

#include "agent/record.h"

struct roster;

struct roster_member {
	struct replica replica; /* a copy */
	uint32_t number;
};

/*
 * Numbers begin behind `last`. Beyond `max` members the oldest is forgotten; when it comes again it
 * gets a new number. Each has `extra` bytes for the caller, zero at first. NULL: no memory.
 */
struct roster *roster__new(uint32_t last, unsigned max, size_t extra);
struct roster *roster__free(struct roster *roster);

/* The replica's member, which lives until the roster forgets it. NULL: no memory. */
const struct roster_member *roster__get(struct roster *roster, const struct replica *replica);
void *roster__extra(const struct roster_member *member);

/* Takes a number that an earlier roster gave. 0 or -ENOMEM. */
int roster__add(struct roster *roster, const struct replica *replica, uint32_t number);

/* From the oldest on; NULL begins, and ends. */
const struct roster_member *roster__next(const struct roster *roster,
					 const struct roster_member *member);

/* A copy in one allocation: the texts stand behind the struct. NULL: no memory. */
struct replica *replica_copy(const struct replica *replica);

#endif
