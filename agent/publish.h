/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish: the newest stats, for who asks from another thread: /metrics, /healthz, /readyz and
 * /api/v1/status (JSON) and /status (for a person). The loop publishes each second; that it does
 * is what /healthz says.
 */
#ifndef REQTAP_PUBLISH_H
#define REQTAP_PUBLISH_H

#include "agent/http.h"
#include "agent/stats.h"

#define PUBLISH_INTERVAL_NS 1000000000ULL
#define PUBLISH_STALE_NS 30000000000ULL /* the loop is stuck */

struct publish;

struct publish *publish__new(void);
struct publish *publish__free(struct publish *publish);

/* All of it is copied. */
void publish__set(struct publish *publish, const struct stats *stats);

/* A table with an end; lives as long as the publish. */
const struct http_route *publish__routes(const struct publish *publish);

#endif
