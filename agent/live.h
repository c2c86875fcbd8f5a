/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live: what goes on now, for `reqtap top`: replicas and requests in flight. The loop tells it of
 * records and requests; any thread may ask.
 */
#ifndef REQTAP_LIVE_H
#define REQTAP_LIVE_H

#include <stdio.h>
#include "agent/record.h"
#include "bpf/event.h"

#define LIVE_REQUESTS_MAX 4096
#define LIVE_REPLICAS_MAX 1024

struct live;

struct live *live__new(void);
struct live *live__free(struct live *live);

/* A record_fn; `ctx` is the live. */
void live__record(void *ctx, const struct record *record);

/* Any ring event; requests and responses count. */
void live__event(struct live *live, const struct event *event);

/* Lines of any replica that were lost before they were records. */
void live__lost(struct live *live, uint64_t lost);

/* {"replicas": [...], "requests": [...]} as docs/api.md says. */
void live__json(struct live *live, FILE *out);

#endif
