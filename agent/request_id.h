/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request_id: the ids of streams' requests, which the kernel side cannot decode: kept beside its
 * table of requests (rt_h2_id), for the agent after this one and for people.
 */
#ifndef REQTAP_REQUEST_ID_H
#define REQTAP_REQUEST_ID_H

#include "agent/probe.h"

/* A stream's request with an id, as decoded; of others nothing is kept. */
void request_id__keep(struct probe *probe, const struct event_request *event);

/* As probe__request(), and a stream's with its id; `probe` is a struct probe. */
int request_id__lookup(void *probe, uint64_t seq, struct request *ret);

#endif
