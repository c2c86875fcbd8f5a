/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api_download.h"

#include <errno.h>
#include <stdlib.h>
#include "agent/format.h"

#define STEP_RECORDS 20000 /* made at once, then sent */

struct download {
	struct search *search;
	struct query query;
	struct search_range range;
	struct search_place after;
	FILE *out;
	bool csv, begun;
	unsigned count; /* in this step */
};

static bool put(void *ctx, const struct record *record, int64_t seq, uint32_t missing)
{
	const struct format_place place = { seq, missing };
	struct download *download = ctx;

	if (download->csv) {
		format__csv(download->out, record);
	} else {
		format__json(download->out, record, &place);
		putc('\n', download->out);
	}
	download->after = (struct search_place){ record->time_ns, seq };
	return ++download->count < STEP_RECORDS;
}

/* Each step searches on from where the last one ended: nothing is held open for a slow reader. */
static int next(void *ctx, FILE *out)
{
	struct download *download = ctx;
	int err;

	download->out = out;
	download->count = 0;
	if (download->csv && !download->begun)
		format__csv_head(out);
	download->begun = true;
	err = search__all(download->search, &download->query, &download->range, put, download);
	download->range.after = &download->after;
	if (download->after.time_ns > download->range.since_ns)
		download->range.since_ns = download->after.time_ns;
	if (err)
		return err;
	return download->count == STEP_RECORDS ? 0 : -ENODATA;
}

static void end(void *ctx)
{
	struct download *download = ctx;

	search__close(download->search);
	free(download);
}

unsigned api_download(const char *state_dir, struct http_request *request, FILE *out,
		      const struct query *query, const struct search_range *range,
		      const char *format)
{
	bool csv = !strcmp(format, "csv");
	struct download *download;
	int err;

	http__set_header(request, "Content-Type", "application/json");
	if (!csv && strcmp(format, "jsonl") != 0) {
		fputs("{\"error\":\"format: give json, jsonl or csv\"}\n", out);
		return 400;
	}
	download = calloc(1, sizeof(*download));
	if (!download)
		return 503;
	download->csv = csv;
	download->range = *range;
	query__copy(&download->query, query);
	download->search = search__open(state_dir, &err);
	if (!download->search) {
		free(download);
		fputs("{\"error\":\"there is no history to read\"}\n", out);
		return 404;
	}
	download->range.end =
		search__end(download->search); /* what comes meanwhile is not part of it */
	http__set_header(request, "Content-Type",
			 csv ? "text/csv; charset=utf-8" : "application/x-ndjson");
	http__set_header(request, "Content-Disposition",
			 csv ? "attachment; filename=\"logs.csv\""
			     : "attachment; filename=\"logs.jsonl\"");
	http__stream(request, next, end, download);
	return 200;
}
