/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history: fills a history and asks it, to measure size, ingest and answers.
 *
 *   history fill DIR RECORDS     RECORDS over the last day, 5 to a request, 20 replicas; one in a
 *                                million says "checkpoint shard mismatch"
 *   history ask DIR QUERY...     each from a file that is in no cache; the newest 1,000. The query
 *                                "request" asks for the lines of one in mid-file
 *
 * Prints one JSON object a line.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "agent/archive.h"
#include "agent/roster.h"
#include "agent/search.h"

#define DAY_NS 86400000000000ULL
#define REPLICAS 20

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static double cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 31) * 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ULL;
	return x ^ x >> 32;
}

/* About 150 bytes, with the numbers and ids that logs have. */
static void make(uint64_t i, uint64_t time_ns, char *message, char *id, struct record *ret)
{
	static const char *const verbs[] = { "decoded", "sampled",  "prefilled", "scheduled",
					     "evicted", "streamed", "queued",    "tokenized" };
	uint64_t request = i / 100 * 20 + i % 20, x = mix(i), r = mix(request);
	int len;

	if (i % 1000000 == 777777)
		len = sprintf(message, "checkpoint shard mismatch in layer %u", (unsigned)(x % 80));
	else
		len = sprintf(message,
			      "engine.py:%u %s batch=%u slot=%u kv_blocks=%u/%u latency_ms=%u.%03u"
			      " session=%016" PRIx64 " queue depth %u, next step in %u us",
			      (unsigned)(x % 40 * 17), verbs[x / 64 % 8], (unsigned)(x % 64),
			      (unsigned)(i % 256), (unsigned)(x / 7 % 4096), 4096,
			      (unsigned)(x / 3 % 900), (unsigned)(x / 5 % 1000), mix(r),
			      (unsigned)(x / 11 % 50), (unsigned)(x / 13 % 100000));
	sprintf(id, "%016" PRIx64 "%016" PRIx64 "%05" PRIx64, r, mix(r + 1), request & 0xfffff);
	*ret = (struct record){
		.time_ns = time_ns,
		.observed_ns = time_ns + 1000,
		.severity = x % 1000 < 2    ? SEVERITY_ERROR
			    : x % 1000 < 20 ? SEVERITY_WARN
					    : SEVERITY_INFO,
		.body = { message, (size_t)len },
		.message = { message, (size_t)len },
		.request_id = { id, 37 },
		.evidence = EVIDENCE_THREAD,
		.stream = 2,
		.tgid = 4242,
		.tid = 4243 + (unsigned)(i % 20),
	};
}

static int fill(const char *dir, uint64_t records)
{
	const struct archive_limits limits = { UINT64_MAX, 8 * DAY_NS };
	uint64_t now_ns = clock_ns(CLOCK_REALTIME), begin_ns = clock_ns(CLOCK_MONOTONIC);
	static struct store_identity identities[REPLICAS];
	static char names[REPLICAS][8];
	uint8_t *data = malloc(ARCHIVE_BLOCK_RECORDS * 512);
	char path[PATH_MAX], message[256], id[64];
	struct archive *archive;
	uint64_t raw = 0;
	int err;

	snprintf(path, sizeof(path), "%s/" STORE_FILE, dir);
	archive = archive__open(path, &limits, &err);
	for (unsigned i = 0; i < REPLICAS; i++) {
		sprintf(names[i], "r%04u", i);
		identities[i].id = i + 1;
		identities[i].replica = (struct replica){
			.replica = str_from(names[i]),
			.model_id = STR("abcd1234"),
			.model_version_id = i % 2 ? STR("v1234567") : STR("v7654321"),
			.environment = STR("production"),
		};
	}
	for (uint64_t i = 0; i < records && !err;) {
		struct archive_batch batch = { .data = data,
					       .identities = identities,
					       .identity_count = REPLICAS };

		for (unsigned n = 0; n < REPLICAS; n++)
			identities[n].records = 0;
		for (; batch.records < ARCHIVE_BLOCK_RECORDS && i < records; i++, batch.records++) {
			struct record record;

			make(i, now_ns - DAY_NS + DAY_NS / records * i, message, id, &record);
			chunk__put(data + batch.len, &record, (uint32_t)(i % REPLICAS) + 1, 0);
			batch.len += chunk__entry_size(&record);
			raw += record.message.len;
		}
		err = archive__add(archive, &batch, now_ns);
	}
	printf("{\"records\": %" PRIu64 ", \"message_bytes\": %" PRIu64 ", \"file_bytes\": %" PRIu64
	       ", \"seconds\": %.1f, \"cpu_s_per_million\": %.2f, \"error\": %d}\n",
	       records, raw, archive ? store__bytes(archive__store(archive)) : 0,
	       (double)(clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e9,
	       cpu_s() * 1e6 / (double)records, err);
	archive__close(archive);
	free(data);
	return err ? 1 : 0;
}

static void forget_cache(const char *dir)
{
	static const char *const names[] = { "", "-wal" };
	char path[PATH_MAX];

	for (int i = 0; i < 2; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/" STORE_FILE "%s", dir, names[i]);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		fdatasync(fd);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
}

/* Calls of this process that read: they do not depend on how busy the machine is. */
static uint64_t reads(void)
{
	FILE *in = fopen("/proc/self/io", "r");
	char line[64];
	uint64_t calls = 0;

	while (in && fgets(line, sizeof(line), in))
		if (sscanf(line, "syscr: %" SCNu64, &calls) == 1)
			break;
	if (in)
		fclose(in);
	return calls;
}

static bool count(void *ctx, const struct record *record, int64_t seq, uint32_t missing)
{
	++*(uint64_t *)ctx;
	return true;
}

/* requestId: of a record in mid-file. */
static void name_request(const char *dir, char *ret)
{
	char message[256], id[64];
	struct search *search;
	struct record record;
	int err;

	search = search__open(dir, &err);
	make(search ? (uint64_t)search__end(search) / 2 : 0, 0, message, id, &record);
	search__close(search);
	sprintf(ret, "requestId:%s", id);
}

static int ask(const char *dir, const char *text)
{
	const struct search_range range = {
		.since_ns = clock_ns(CLOCK_REALTIME) - DAY_NS - DAY_NS / 24,
		.until_ns = UINT64_MAX,
	};
	static struct query query;
	struct query_problem problem;
	const char *name = text;
	uint64_t begin_ns, begin_reads, found = 0;
	struct search *search;
	char request[96];
	int err;

	if (!strcmp(text, "request")) {
		name_request(dir, request);
		text = request;
	}
	if (query__parse(str_from(text), &query, &problem))
		return 2;
	forget_cache(dir);
	begin_reads = reads();
	begin_ns = clock_ns(CLOCK_MONOTONIC);
	search = search__open(dir, &err);
	if (search)
		err = search__newest(search, &query, &range, 1000, NULL, count, &found);
	printf("{\"query\": \"%s\", \"found\": %" PRIu64 ", \"ms\": %.1f, \"reads\": %" PRIu64
	       ", \"unpacked_bytes\": %" PRIu64 ", \"error\": %d}\n",
	       *name == '"' ? "phrase" : name, found,
	       (double)(clock_ns(CLOCK_MONOTONIC) - begin_ns) / 1e6, reads() - begin_reads,
	       search ? scan__bytes(search__scan(search)) : 0, err);
	search__close(search);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	int bad = 0;

	if (argc == 4 && !strcmp(argv[1], "fill"))
		return fill(argv[2], strtoull(argv[3], NULL, 10));
	if (argc < 4 || strcmp(argv[1], "ask")) {
		fprintf(stderr, "usage: history fill DIR RECORDS | ask DIR QUERY...\n");
		return 2;
	}
	for (int i = 3; i < argc; i++)
		bad |= ask(argv[2], argv[i]);
	return bad;
}
