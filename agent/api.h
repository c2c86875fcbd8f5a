/* SPDX-License-Identifier: Apache-2.0 */
/* api: the HTTP routes of history and of the page; docs/api.md says what they take and give. */
#ifndef REQTAP_API_H
#define REQTAP_API_H

#include "agent/http.h"
#include "agent/live.h"

struct api;

/* `live` may be NULL: then there is no /api/v1/top. Both outlive the api. */
struct api *api__new(const char *state_dir, struct live *live, const char *token);
struct api *api__free(struct api *api);

/* To be served, with an end; room is left behind them for `extra` more, which are copied. */
const struct http_route *api__routes(struct api *api, const struct http_route *extra);

#endif
