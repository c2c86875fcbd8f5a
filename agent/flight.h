/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flight: the ids of the requests in flight, and where one stands in a text. For lines that
 * another process writes about a request (an engine behind a queue), and for `sole`.
 *
 * A text is walked once, whatever the number of requests: a filter of the ids' first bytes sends
 * on what may be one.
 */
#ifndef REQTAP_FLIGHT_H
#define REQTAP_FLIGHT_H

#include <stdint.h>
#include "agent/str.h"

#define FLIGHT_ID_MIN 16    /* bytes; a shorter id may stand in a text by chance */
#define FLIGHT_TOKENS 256   /* of one text, long enough to be ids, that are looked at */
#define FLIGHT_PARTS 16     /* of one token, between dashes */
#define FLIGHT_ID_MAX 256   /* RT_ID_MAX */
#define FLIGHT_MAX 65536    /* ids; beyond, requests have no `text` evidence */
#define FLIGHT_FILTER 16384 /* slots */

struct flight;

struct flight *flight__new(void);
struct flight *flight__free(struct flight *flight);

/*
 * The request `seq` is in flight. A later one with the same id takes it over: a retry. `id` may be
 * empty. -ENOMEM, -ENOSPC.
 */
int flight__begin(struct flight *flight, uint64_t container, struct str id, uint64_t seq);

/* It is answered: its id is looked for until `until_ns`. */
void flight__end(struct flight *flight, uint64_t container, struct str id, uint64_t seq,
		 uint64_t until_ns);

/* Forgets the id, if it is still that request's. */
void flight__forget(struct flight *flight, uint64_t container, struct str id, uint64_t seq);

/*
 * The request whose id stands in the text, whole: alone, or between dashes, underscores or dots
 * ("chatcmpl-<id>-0"). 0 with *ret_seq; -ENOENT: none; -EEXIST: those of two requests.
 */
int flight__find(struct flight *flight, uint64_t container, struct str text, uint64_t now_ns,
		 uint64_t *ret_seq);

/* The only unanswered request of the container, with or without id. -ENOENT: none, or several. */
int flight__sole(struct flight *flight, uint64_t container, uint64_t *ret_seq);

#endif
