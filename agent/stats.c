/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/stats.h"

#include <cjson/cJSON.h>
#include "agent/counter.h"
#include "agent/record.h"

#define UNREADY_OLDEST_NS 300000000000ULL /* the outbox holds what is five minutes old */
#define SECONDS(ns) ((double)(ns) / 1e9)
#define U(n) ((unsigned long long)(n))

static uint64_t oldest_age_ns(const struct stats *s)
{
	uint64_t oldest = s->shipper.outbox->oldest_ns;

	return oldest && oldest < s->now_unix_ns ? s->now_unix_ns - oldest : 0;
}

const char *stats__unready(const struct stats *s)
{
	if (!s->shipper.outbox->on_disk && s->shipper.outbox->disk_faults)
		return "the state directory cannot be written: what is not sent is in memory alone";
	if (s->shipper.enabled && oldest_age_ns(s) > UNREADY_OLDEST_NS)
		return "the destination has taken nothing for five minutes";
	return NULL;
}

static uint64_t lost(const struct stats *s)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < RT_COUNTERS; i++)
		if (counter__of(i) && counter__of(i)->kind == COUNTER_LOST)
			sum += s->kernel[i];
	return sum;
}

static void text_losses(const struct stats *s, FILE *out)
{
	for (unsigned i = 0; i < RT_COUNTERS; i++) {
		const struct counter *c = counter__of(i);

		if (c && c->kind != COUNTER_WORK && s->kernel[i])
			fprintf(out, "  %-20s %llu (%s)\n", c->name, U(s->kernel[i]), c->why);
	}
}

static void text_export(const struct stats *s, FILE *out)
{
	const struct shipper_stats *e = &s->shipper;

	if (!e->enabled) {
		fprintf(out, "export      off: no destination is set; `reqtap connection set`\n");
		return;
	}
	fprintf(out,
		"export      %llu sent, %llu refused, %llu rejected, %llu lost; last took %.0f "
		"ms\n",
		U(e->sent_records), U(e->refused), U(e->rejected), U(e->lost_records),
		SECONDS(e->latency_ns) * 1000);
	if (e->export && e->export->last_reason[0])
		fprintf(out, "            last answer that was no success: %ld %s\n",
			e->export->last_status, e->export->last_reason);
	fprintf(out, "outbox      %llu records, %llu bytes, oldest %.0f s, %s\n",
		U(e->outbox->records), U(e->outbox->bytes), SECONDS(oldest_age_ns(s)),
		e->outbox->on_disk ? "on disk" : "in memory");
}

static unsigned shown_runtimes(const struct stats *s)
{
	return s->runtime_count < STATS_RUNTIMES_MAX ? s->runtime_count : STATS_RUNTIMES_MAX;
}

static void text_runtimes(const struct stats *s, FILE *out)
{
	for (unsigned i = 0; i < shown_runtimes(s); i++) {
		const struct stats_runtime *r = &s->runtimes[i];

		fprintf(out, "%-11s %s %s%s%s", i ? "" : "runtimes", r->name, r->version,
			*r->unit ? ", by " : "", r->unit);
		if (*r->why)
			fprintf(out, " (%s)", r->why);
		else
			fprintf(out, ", %u processes", r->processes);
		fprintf(out, ": %s\n", r->path);
	}
	if (s->runtime_count > shown_runtimes(s))
		fprintf(out, "            and %u more\n", s->runtime_count - shown_runtimes(s));
}

static void text_metadata(const struct stats *s, FILE *out)
{
	const struct kube_watch_stats *m = &s->metadata;

	fprintf(out, "metadata    ");
	if (m->heard_ns)
		fprintf(out, "heard %.0f s ago", SECONDS(s->metadata_age_ns));
	else
		fprintf(out, "not heard yet");
	fprintf(out, ", %s; %llu failures, %llu resyncs\n",
		m->failing  ? "the API server fails"
		: m->synced ? "whole"
			    : "not whole yet",
		U(m->failures), U(m->resyncs));
	fprintf(out,
		"waiting     %zu bytes for their metadata; %llu did not wait: no room; %llu left "
		"out: "
		"nobody said whose in time\n",
		s->hold.bytes, U(s->hold.forced), U(s->hold.lost));
}

void stats__text(const struct stats *s, FILE *out)
{
	const char *unready = stats__unready(s);

	fprintf(out, "reqtap %s, up %.0f s, %s%s\n", REQTAP_VERSION, SECONDS(s->up_ns),
		unready ? "not ready: " : "ready", unready ? unready : "");
	fprintf(out, "plan        %s: %s\n", s->plan, s->plan_reason);
	fprintf(out, "containers  %u", s->containers.count);
	if (s->containers.overflow)
		fprintf(out, ", %llu more not captured: the table is full",
			U(s->containers.overflow));
	fprintf(out, "\n");
	if (s->has_metadata)
		text_metadata(s, out);
	text_runtimes(s, out);
	fprintf(out, "requests    %llu in flight, %llu begun, %llu without id\n",
		U(s->requests_open), U(s->kernel[RT_REQUESTS]),
		U(s->kernel[RT_REQUESTS_WITHOUT_ID] + s->pipeline.http2->without_id));
	fprintf(out, "lines       %llu", U(s->pipeline.line->lines));
	attribute__describe(s->pipeline.attribute, out);
	fprintf(out, "\nring        %llu of %llu bytes unread, %llu held\n",
		U(s->ring_waiting_bytes), U(s->ring_bytes), U(s->ring_held_bytes));
	text_export(s, out);
	fprintf(out, "lost        %llu\n", U(lost(s)));
	text_losses(s, out);
}

static void json_kernel(const struct stats *s, cJSON *root)
{
	cJSON *counters = cJSON_AddObjectToObject(root, "counters");
	cJSON *lost_by = cJSON_AddObjectToObject(root, "lost");

	for (unsigned i = 0; i < RT_COUNTERS; i++) {
		const struct counter *c = counter__of(i);

		if (c)
			cJSON_AddNumberToObject(c->kind == COUNTER_LOST ? lost_by : counters,
						c->name, s->kernel[i]);
	}
}

static void json_export(const struct stats *s, cJSON *root)
{
	const struct shipper_stats *e = &s->shipper;
	cJSON *item = cJSON_AddObjectToObject(root, "export");

	cJSON_AddBoolToObject(item, "enabled", e->enabled);
	cJSON_AddNumberToObject(item, "sent", e->sent_records);
	cJSON_AddNumberToObject(item, "refused", e->refused);
	cJSON_AddNumberToObject(item, "rejected", e->rejected);
	cJSON_AddNumberToObject(item, "lost", e->lost_records);
	cJSON_AddNumberToObject(item, "latency_seconds", SECONDS(e->latency_ns));
	if (e->export && e->export->last_reason[0]) {
		cJSON_AddNumberToObject(item, "last_status", e->export->last_status);
		cJSON_AddStringToObject(item, "last_reason", e->export->last_reason);
	}
	item = cJSON_AddObjectToObject(root, "outbox");
	cJSON_AddNumberToObject(item, "records", e->outbox->records);
	cJSON_AddNumberToObject(item, "bytes", e->outbox->bytes);
	cJSON_AddNumberToObject(item, "oldest_seconds", SECONDS(oldest_age_ns(s)));
	cJSON_AddBoolToObject(item, "on_disk", e->outbox->on_disk);
	cJSON_AddNumberToObject(item, "dropped",
				e->outbox->dropped_full + e->outbox->dropped_age +
					e->outbox->dropped_removed);
}

static void json_lines(const struct stats *s, cJSON *root)
{
	cJSON *item = cJSON_AddObjectToObject(root, "lines_by_evidence");

	cJSON_AddNumberToObject(root, "lines", s->pipeline.line->lines);
	cJSON_AddNumberToObject(item, "none", s->pipeline.attribute->by_evidence[EVIDENCE_NONE]);
	for (int i = EVIDENCE_NONE + 1; i < EVIDENCE_COUNT; i++)
		cJSON_AddNumberToObject(item, evidence_text(i),
					s->pipeline.attribute->by_evidence[i]);
	item = cJSON_AddObjectToObject(root, "lines_without_id");
	for (int i = 0; i < NONE_COUNT; i++)
		cJSON_AddNumberToObject(item, attribute_none_text(i),
					s->pipeline.attribute->none[i]);
}

static void json_http2(const struct stats *s, cJSON *root)
{
	const struct http2_stats *h = s->pipeline.http2;
	cJSON *item = cJSON_AddObjectToObject(root, "http2");

	cJSON_AddNumberToObject(item, "connections", h->connections);
	cJSON_AddNumberToObject(item, "table_bytes", h->bytes);
	cJSON_AddNumberToObject(item, "streams", h->streams);
	cJSON_AddNumberToObject(item, "without_id", h->without_id);
	cJSON_AddNumberToObject(item, "unknown", h->unknown);
	cJSON_AddNumberToObject(item, "gaps", h->gaps);
	cJSON_AddNumberToObject(item, "lost", h->lost);
	cJSON_AddNumberToObject(item, "evicted", h->evicted);
}

static void json_programs(const struct stats *s, cJSON *root)
{
	cJSON *list = cJSON_AddArrayToObject(root, "programs");

	for (unsigned i = 0; i < s->program_count; i++) {
		cJSON *item = cJSON_CreateObject();

		cJSON_AddStringToObject(item, "name", s->programs[i].name);
		cJSON_AddNumberToObject(item, "run_ns", s->programs[i].run_ns);
		cJSON_AddNumberToObject(item, "runs", s->programs[i].runs);
		cJSON_AddItemToArray(list, item);
	}
}

static void json_runtimes(const struct stats *s, cJSON *root)
{
	cJSON *list = cJSON_AddArrayToObject(root, "runtimes");

	for (unsigned i = 0; i < shown_runtimes(s); i++) {
		const struct stats_runtime *r = &s->runtimes[i];
		cJSON *item = cJSON_CreateObject();

		cJSON_AddStringToObject(item, "name", r->name);
		cJSON_AddStringToObject(item, "version", r->version);
		cJSON_AddStringToObject(item, "path", r->path);
		if (*r->unit)
			cJSON_AddStringToObject(item, "unit", r->unit);
		if (*r->why)
			cJSON_AddStringToObject(item, "not_followed", r->why);
		cJSON_AddNumberToObject(item, "processes", r->processes);
		cJSON_AddItemToArray(list, item);
	}
}

static void json_metadata(const struct stats *s, cJSON *root)
{
	cJSON *item = cJSON_AddObjectToObject(root, "hold");

	cJSON_AddNumberToObject(item, "bytes", s->hold.bytes);
	cJSON_AddNumberToObject(item, "held", s->hold.held);
	cJSON_AddNumberToObject(item, "forced", s->hold.forced);
	cJSON_AddNumberToObject(item, "lost", s->hold.lost);
	if (!s->has_metadata)
		return;
	cJSON_AddNumberToObject(root, "metadata_age_seconds", SECONDS(s->metadata_age_ns));
	item = cJSON_AddObjectToObject(root, "metadata");
	cJSON_AddBoolToObject(item, "synced", s->metadata.synced);
	cJSON_AddBoolToObject(item, "failing", s->metadata.failing);
	cJSON_AddNumberToObject(item, "changes", s->metadata.changes);
	cJSON_AddNumberToObject(item, "resyncs", s->metadata.resyncs);
	cJSON_AddNumberToObject(item, "failures", s->metadata.failures);
	cJSON_AddNumberToObject(item, "fallbacks", s->metadata.fallbacks);
}

char *stats__json(const struct stats *s)
{
	cJSON *root = cJSON_CreateObject(), *ring;
	char *text;

	cJSON_AddStringToObject(root, "version", REQTAP_VERSION);
	cJSON_AddNumberToObject(root, "up_seconds", SECONDS(s->up_ns));
	cJSON_AddBoolToObject(root, "ready", !stats__unready(s));
	if (stats__unready(s))
		cJSON_AddStringToObject(root, "unready", stats__unready(s));
	cJSON_AddStringToObject(root, "plan", s->plan);
	cJSON_AddStringToObject(root, "plan_reason", s->plan_reason);
	cJSON_AddNumberToObject(root, "containers", s->containers.count);
	cJSON_AddNumberToObject(root, "containers_overflow", s->containers.overflow);
	cJSON_AddNumberToObject(root, "requests_open", s->requests_open);
	json_kernel(s, root);
	json_lines(s, root);
	json_http2(s, root);
	ring = cJSON_AddObjectToObject(root, "ring");
	cJSON_AddNumberToObject(ring, "bytes", s->ring_bytes);
	cJSON_AddNumberToObject(ring, "unread_bytes", s->ring_waiting_bytes);
	cJSON_AddNumberToObject(ring, "held_bytes", s->ring_held_bytes);
	json_export(s, root);
	json_metadata(s, root);
	json_programs(s, root);
	json_runtimes(s, root);
	text = cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	return text;
}
