/* SPDX-License-Identifier: Apache-2.0 */
/* api_download: /api/v1/logs as CSV or JSON lines, the oldest first, of any size. */
#ifndef REQTAP_API_DOWNLOAD_H
#define REQTAP_API_DOWNLOAD_H

#include "agent/http.h"
#include "agent/search.h"

/* `format`: "csv" or "jsonl"; another one is refused. */
unsigned api_download(const char *state_dir, struct http_request *request, FILE *out,
		      const struct query *query, const struct search_range *range,
		      const char *format);

#endif
