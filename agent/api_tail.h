/* SPDX-License-Identifier: Apache-2.0 */
/* api_tail: /api/v1/tail, records as server-sent events. */
#ifndef REQTAP_API_TAIL_H
#define REQTAP_API_TAIL_H

#include "agent/http.h"
#include "agent/query.h"

/* A route's handler, once the query is read. */
unsigned api_tail(const char *state_dir, struct http_request *request, FILE *out,
		  const struct query *query);

#endif
