/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/stats.h"

#include "agent/counter.h"
#include "agent/record.h"

#define SECONDS(ns) ((double)(ns) / 1e9)

static void family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP reqtap_%s %s\n# TYPE reqtap_%s %s\n", name, help, name, type);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value)
{
	family(out, name, "counter", help);
	fprintf(out, "reqtap_%s %llu\n", name, (unsigned long long)value);
}

static void gauge(FILE *out, const char *name, const char *help, double value)
{
	family(out, name, "gauge", help);
	fprintf(out, "reqtap_%s %.9g\n", name, value);
}

static void labelled(FILE *out, const char *name, const char *label, const char *of, uint64_t value)
{
	fprintf(out, "reqtap_%s{%s=\"%s\"} %llu\n", name, label, of, (unsigned long long)value);
}

static void capture(const struct stats *s, FILE *out)
{
	counter(out, "writes_total", "Log writes captured.", s->kernel[RT_WRITES]);
	counter(out, "bytes_total", "Bytes of log writes captured.", s->kernel[RT_WRITE_BYTES]);
	counter(out, "requests_total", "Requests begun.", s->kernel[RT_REQUESTS]);
	counter(out, "requests_without_id_total", "Requests that carried no id.",
		s->kernel[RT_REQUESTS_WITHOUT_ID]);
	gauge(out, "requests_open", "Requests without a complete response.", s->requests_open);
	family(out, "lost_total", "counter",
	       "Log writes, or bytes where it says so, that were lost.");
	for (unsigned i = 0; i < RT_COUNTERS; i++)
		if (counter__of(i) && counter__of(i)->kind == COUNTER_LOST)
			labelled(out, "lost_total", "reason", counter__of(i)->name, s->kernel[i]);
	family(out, "unattributable_total", "counter",
	       "Events that may leave lines without an id.");
	for (unsigned i = 0; i < RT_COUNTERS; i++)
		if (counter__of(i) && counter__of(i)->kind == COUNTER_LESS)
			labelled(out, "unattributable_total", "reason", counter__of(i)->name,
				 s->kernel[i]);
	gauge(out, "ring_size_bytes", "Size of the ring.", s->ring_bytes);
	family(out, "ring_used_bytes", "gauge",
	       "Ring space in use: unread, or read and not durable.");
	labelled(out, "ring_used_bytes", "state", "unread", s->ring_waiting_bytes);
	labelled(out, "ring_used_bytes", "state", "held", s->ring_held_bytes);
}

static void http2(const struct http2_stats *h, FILE *out)
{
	gauge(out, "http2_connections", "HTTP/2 connections whose headers are decoded.",
	      h->connections);
	gauge(out, "http2_table_bytes", "Memory of their header tables.", h->bytes);
	counter(out, "http2_streams_total", "Requests of HTTP/2 connections.", h->streams);
	family(out, "http2_without_id_total", "counter",
	       "Those without an id; unknown: it was sent before the capture began.");
	labelled(out, "http2_without_id_total", "reason", "absent", h->without_id - h->unknown);
	labelled(out, "http2_without_id_total", "reason", "unknown", h->unknown);
	family(out, "http2_tables_lost_total", "counter", "Header tables begun anew, by reason.");
	labelled(out, "http2_tables_lost_total", "reason", "gap", h->gaps);
	labelled(out, "http2_tables_lost_total", "reason", "damaged", h->lost);
	labelled(out, "http2_tables_lost_total", "reason", "evicted", h->evicted);
}

static void stages(const struct stats *s, FILE *out)
{
	const struct line_stats *line = s->pipeline.line;
	const struct attribute_stats *attribute = s->pipeline.attribute;

	counter(out, "lines_total", "Lines assembled.", line->lines);
	counter(out, "cut_bytes_total", "Bytes cut from lines over the maximum.", line->cut_bytes);
	counter(out, "replaced_bytes_total", "Bytes that were not UTF-8.", line->replaced_bytes);
	counter(out, "records_total", "Records made.", s->pipeline.records);
	counter(out, "bad_events_total", "Ring records not understood.", s->pipeline.bad_events);
	family(out, "attributed_total", "counter", "Lines by the evidence that gave their id.");
	labelled(out, "attributed_total", "evidence", "none",
		 attribute->by_evidence[EVIDENCE_NONE]);
	for (int i = EVIDENCE_NONE + 1; i < EVIDENCE_COUNT; i++)
		labelled(out, "attributed_total", "evidence", evidence_text(i),
			 attribute->by_evidence[i]);
	family(out, "unattributed_total", "counter", "Lines without an id by reason.");
	for (int i = 0; i < NONE_COUNT; i++)
		labelled(out, "unattributed_total", "reason", attribute_none_text(i),
			 attribute->none[i]);
	http2(s->pipeline.http2, out);
	gauge(out, "containers", "Containers captured now.", s->containers.count);
	counter(out, "containers_overflow_total", "Containers beyond the table, not captured.",
		s->containers.overflow);
	counter(out, "containers_unknown_total", "Cgroups whose path is too long, not captured.",
		s->containers.unknown);
}

static void metadata(const struct stats *s, FILE *out)
{
	const struct kube_watch_stats *m = &s->metadata;

	gauge(out, "hold_bytes", "Of records that wait for their metadata.", s->hold.bytes);
	counter(out, "hold_records_total", "Records that waited for their metadata.", s->hold.held);
	counter(out, "hold_forced_total", "Records for which there was no room to wait.",
		s->hold.forced);
	counter(out, "hold_lost_total", "Records left out: nobody said in time whose pod it is.",
		s->hold.lost);
	if (!s->has_metadata)
		return;
	gauge(out, "metadata_age_seconds", "Since the source of pods last spoke.",
	      SECONDS(s->metadata_age_ns));
	gauge(out, "metadata_synced", "1 when a whole list of pods was read.", m->synced);
	gauge(out, "metadata_failing", "1 while the API server does not answer.", m->failing);
	counter(out, "metadata_changes_total", "Changes of pods heard.", m->changes);
	counter(out, "metadata_resyncs_total", "Lists anew: the server had forgotten the version.",
		m->resyncs);
	counter(out, "metadata_failures_total", "Requests that failed.", m->failures);
	counter(out, "metadata_fallbacks_total", "Reads of the kubelet's list instead.",
		m->fallbacks);
}

static void outbox(const struct outbox_stats *o, uint64_t now_unix_ns, FILE *out)
{
	gauge(out, "outbox_bytes", "Encoded and not acknowledged.", o->bytes);
	gauge(out, "outbox_records", "Records in the outbox.", o->records);
	gauge(out, "outbox_oldest_seconds", "Age of its oldest record.",
	      o->oldest_ns && o->oldest_ns < now_unix_ns ? SECONDS(now_unix_ns - o->oldest_ns) : 0);
	gauge(out, "outbox_on_disk", "1 when it is on disk, 0 in memory alone.", o->on_disk);
	counter(out, "outbox_disk_faults_total", "Times that the disk refused.", o->disk_faults);
	family(out, "outbox_dropped_total", "counter", "Records dropped from the outbox.");
	labelled(out, "outbox_dropped_total", "reason", "full", o->dropped_full);
	labelled(out, "outbox_dropped_total", "reason", "age", o->dropped_age);
	labelled(out, "outbox_dropped_total", "reason", "removed", o->dropped_removed);
	labelled(out, "outbox_dropped_total", "reason", "damaged", o->lost_damaged);
}

static void export(const struct stats *s, FILE *out)
{
	const struct export_stats *e = s->shipper.export;

	gauge(out, "export_enabled", "1 when a destination is set.", s->shipper.enabled);
	family(out, "export_records_total", "counter", "Records by how the destination took them.");
	labelled(out, "export_records_total", "result", "sent", s->shipper.sent_records);
	labelled(out, "export_records_total", "result", "refused", s->shipper.refused);
	labelled(out, "export_records_total", "result", "rejected", s->shipper.rejected);
	labelled(out, "export_records_total", "result", "lost", s->shipper.lost_records);
	gauge(out, "export_latency_seconds", "Of the last accepted request.",
	      SECONDS(s->shipper.latency_ns));
	if (!e)
		return;
	family(out, "export_requests_total", "counter", "Requests by their end.");
	labelled(out, "export_requests_total", "result", "accepted", e->accepted);
	labelled(out, "export_requests_total", "result", "refused", e->refused);
	labelled(out, "export_requests_total", "result", "retried", e->retried);
	labelled(out, "export_requests_total", "result", "too_large", e->too_large);
	counter(out, "export_bytes_total", "Bytes posted.", e->bytes);
}

static void programs(const struct stats *s, FILE *out)
{
	family(out, "program_seconds_total", "counter",
	       "Time in a kernel program; 0 unless kernel.bpf_stats_enabled.");
	for (unsigned i = 0; i < s->program_count; i++)
		fprintf(out, "reqtap_program_seconds_total{program=\"%s\"} %.9f\n",
			s->programs[i].name, SECONDS(s->programs[i].run_ns));
	family(out, "program_runs_total", "counter", "Runs of a kernel program, likewise.");
	for (unsigned i = 0; i < s->program_count; i++)
		labelled(out, "program_runs_total", "program", s->programs[i].name,
			 s->programs[i].runs);
}

void stats__metrics(const struct stats *s, FILE *out)
{
	family(out, "info", "gauge", "Version and plan, always 1.");
	fprintf(out, "reqtap_info{version=\"%s\",plan=\"%s\"} 1\n", REQTAP_VERSION, s->plan);
	gauge(out, "up_seconds", "Since the agent started.", SECONDS(s->up_ns));
	gauge(out, "ready", "1 when what is captured gets out.", !stats__unready(s));
	capture(s, out);
	stages(s, out);
	metadata(s, out);
	outbox(s->shipper.outbox, s->now_unix_ns, out);
	export(s, out);
	programs(s, out);
}
