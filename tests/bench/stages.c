/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stages LAST KIND BYTES LINES [REPLICAS [REQUESTS]]: ring records made here go through the
 * agent's stages, without a kernel side or a receiver. LAST is where it ends:
 *
 *   line     the assembled line is thrown away
 *   record   so is the record: level or JSON, traceback, attribute, replica
 *   encode   the encoded batch
 *   gzip     the compressed batch
 *
 * KIND is plain or json. Each line has one of REQUESTS requests in flight, and is written by one
 * of REPLICAS containers. Prints a JSON object: CPU-seconds, and what came out.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "agent/batch.h"
#include "agent/pipeline.h"

#define ROUND 4096 /* lines between two ticks of the clock */

struct bench {
	struct batch *batch;
	struct line_assembler *lines;
	uint64_t now_ns, records, with_id, payloads, bytes;
};

static void on_line(void *ctx, const struct line *line)
{
	struct bench *bench = ctx;

	bench->records++;
	bench->bytes += line->text.len;
}

static void on_record(void *ctx, const struct record *record)
{
	struct bench *bench = ctx;

	bench->records++;
	bench->with_id += record->request_id.len != 0;
	if (bench->batch)
		batch__add(bench->batch, record, bench->now_ns);
}

static int on_payload(void *ctx, const struct payload *payload)
{
	struct bench *bench = ctx;

	bench->payloads++;
	bench->bytes += payload->len;
	return 0;
}

static double cpu_seconds(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* Not ru_maxrss: that begins with what the parent had before exec. */
static long rss_kib(void)
{
	FILE *in = fopen("/proc/self/status", "r");
	char line[256];
	long kib = 0;

	while (in && fgets(line, sizeof(line), in))
		if (sscanf(line, "VmHWM: %ld", &kib) == 1)
			break;
	if (in)
		fclose(in);
	return kib;
}

/* Words of a log, not one byte again and again: gzip is measured too. */
static void write_text(char *to, size_t len, uint64_t number)
{
	static const char *const words[] = { "loaded", "batch",   "tokens",      "prompt",
					     "cache",  "sampled", "latency_ms=", "gpu0" };
	size_t at = 0;

	for (uint64_t i = number * 2654435761u; at < len; i = i * 6364136223846793005u + 1)
		at += (size_t)snprintf(to + at, len - at + 1, "%s %u ", words[i >> 60 & 7],
				       (unsigned)(i >> 40 & 0xfff));
}

static size_t line_make(char *to, const char *kind, size_t bytes, uint64_t number)
{
	size_t head;

	if (strcmp(kind, "json") != 0) {
		head = (size_t)sprintf(to, "2026-03-16 12:00:00,%03u INFO ",
				       (unsigned)number % 1000);
		write_text(to + head, bytes - head - 1, number);
	} else {
		head = (size_t)sprintf(to,
				       "{\"asctime\": \"2026-03-16 12:00:00,%03u\", "
				       "\"levelname\": \"INFO\", \"message\": \"",
				       (unsigned)number % 1000);
		write_text(to + head, bytes - head - 3, number);
		memcpy(to + bytes - 3, "\"}", 2);
	}
	to[bytes - 1] = '\n';
	return bytes;
}

static void begin_request(struct pipeline *pipeline, uint64_t seq, uint64_t container)
{
	struct event_request event = {
		.head = { .kind = RT_EVENT_REQUEST, .container = container, .time_ns = seq },
		.request = { .seq = seq, .container = container, .state = RT_REQUEST_OPEN },
	};

	event.request.id_len = (uint16_t)sprintf(event.request.id, "%032" PRIx64, seq * 0x9e3779b9);
	pipeline__event(pipeline, &event.head, sizeof(event));
}

/* A ring of ready lines, gone over again and again: making them is not measured. */
static char *events_make(const char *kind, size_t bytes, uint64_t replicas, uint64_t requests,
			 size_t *ret_stride)
{
	size_t stride = (sizeof(struct event_fragment) + bytes + 128 + 7) & ~(size_t)7;
	char *events = calloc(ROUND, stride);

	for (uint64_t i = 0; events && i < ROUND; i++) {
		struct event_fragment *f = (void *)(events + i * stride);
		uint64_t which = i % replicas;

		*f = (struct event_fragment){
			.head = { .kind = RT_EVENT_FRAGMENT, .container = which + 100 },
			.inode = which + 1000,
			.tgid = (uint32_t)which + 1,
			.tid = (uint32_t)which + 1,
			.request = requests ? i * 2654435761u % requests + 1 : 0,
			.stream = RT_STREAM_STDOUT,
			.unit = requests ? RT_UNIT_THREAD : RT_UNIT_NONE,
			.flags = RT_FRAGMENT_LAST,
		};
		f->len = (uint32_t)line_make(f->data, kind, bytes, i);
		f->write_bytes = f->len;
	}
	*ret_stride = stride;
	return events;
}

int main(int argc, char **argv)
{
	const char *last = argc > 4 ? argv[1] : "", *kind = argc > 4 ? argv[2] : "";
	size_t bytes = argc > 4 ? strtoul(argv[3], NULL, 10) : 0, stride;
	uint64_t lines = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	uint64_t replicas = argc > 5 ? strtoull(argv[5], NULL, 10) : 1;
	uint64_t requests = argc > 6 ? strtoull(argv[6], NULL, 10) : 1;
	bool only_lines = !strcmp(last, "line"), compressed = !strcmp(last, "gzip");
	struct bench bench = { 0 };
	struct pipeline_config config = { .sink = on_record, .sink_ctx = &bench };
	struct replica_table *table = replica_table__new(NULL);
	struct pipeline *pipeline = pipeline__new(&config, table);
	double cpu;

	if (bytes < 90 || !lines || !replicas || !pipeline) {
		fprintf(stderr, "usage: stages line|record|encode|gzip plain|json BYTES LINES "
				"[REPLICAS [REQUESTS]]; BYTES from 90\n");
		return 2;
	}
	if (only_lines)
		bench.lines = line_assembler__new(0, on_line, &bench);
	if (compressed || !strcmp(last, "encode"))
		bench.batch = batch__new(NULL, compressed ? COMPRESSION_GZIP : COMPRESSION_NONE,
					 "baseten", on_payload, &bench);
	for (uint64_t i = 0; i < replicas; i++) {
		char name[16];
		struct identity identity = { .text = { [IDENTITY_REPLICA] = name,
						       [IDENTITY_MODEL] = "abcd1234",
						       [IDENTITY_VERSION] = "v1234567",
						       [IDENTITY_ENVIRONMENT] = "production" } };

		snprintf(name, sizeof(name), "r%04u", (unsigned)i);
		replica_table__set(table, i + 100, &identity, &(struct identity){ 0 });
	}
	for (uint64_t i = 1; i <= requests; i++)
		begin_request(pipeline, i, i % replicas + 100);
	char *events = events_make(kind, bytes, replicas, requests, &stride);

	cpu = cpu_seconds();
	for (uint64_t i = 0; i < lines; i++) {
		struct event_fragment *f = (void *)(events + i % ROUND * stride);

		f->head.time_ns = 1000000000 + i;
		if (bench.lines)
			line_assembler__fragment(bench.lines, f, i);
		else
			pipeline__event(pipeline, &f->head, sizeof(*f) + f->len);
		if (i % ROUND == ROUND - 1)
			pipeline__tick(pipeline, 1000000000 + i);
	}
	if (bench.batch)
		batch__flush(bench.batch);
	cpu = cpu_seconds() - cpu;
	printf("{\"last\": \"%s\", \"kind\": \"%s\", \"bytes\": %zu, \"lines\": %" PRIu64
	       ", \"replicas\": %" PRIu64 ", \"requests\": %" PRIu64 ", \"cpu_s\": %.6f, "
	       "\"records\": %" PRIu64 ", \"with_id\": %" PRIu64 ", \"payloads\": %" PRIu64
	       ", \"bytes_out\": %" PRIu64 ", \"rss_kib\": %ld}\n",
	       last, kind, bytes, lines, replicas, requests, cpu, bench.records, bench.with_id,
	       bench.payloads, bench.bytes, rss_kib());
	return bench.records == lines ? 0 : 1;
}
