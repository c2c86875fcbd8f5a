/* SPDX-License-Identifier: Apache-2.0 */
/* roster: the replicas seen, each with a number: history's identities. A change of any member makes
 * a new one. */
#ifndef REQTAP_ROSTER_H
#define REQTAP_ROSTER_H

#include "agent/record.h"

#define ROSTER_MAX 4096 /* beyond, the roster forgets; what comes again gets a new number */

struct roster;

/* Numbers begin behind `last`. */
struct roster *roster__new(uint32_t last);
struct roster *roster__free(struct roster *roster);

/* The replica's number, and a copy of it that lives until the roster forgets it. 0: no memory. */
uint32_t roster__number(struct roster *roster, const struct replica *replica,
			const struct replica **ret_copy);

/* Takes a number that an earlier roster gave. 0 or -ENOMEM. */
int roster__add(struct roster *roster, const struct replica *replica, uint32_t number);

/* A copy in one allocation: the texts stand behind the struct. NULL: no memory. */
struct replica *replica_copy(const struct replica *replica);

#endif
