/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into history comes out of search: all of it, once, in order, and nothing else. */
#include "tests/unit/unit.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "agent/archive.h"
#include "agent/history.h"
#include "agent/search.h"

#define SECOND 1000000000ULL

static char dir[] = "/tmp/reqtap-history-XXXXXX";
static uint64_t now_ns;

static void empty_dir(void)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	char path[PATH_MAX];

	while ((entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(path);
	}
	closedir(d);
}

static int set_up(void **state)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	now_ns = (uint64_t)ts.tv_sec * SECOND;
	empty_dir();
	return 0;
}

/* ---- a writer without a thread */

static struct archive *open_archive(uint64_t max_bytes)
{
	const struct archive_limits limits = { max_bytes, 3600 * SECOND };
	char path[PATH_MAX];
	struct archive *archive;
	int err;

	snprintf(path, sizeof(path), "%s/" STORE_FILE, dir);
	archive = archive__open(path, &limits, &err);
	assert_int_equal(err, 0);
	return archive;
}

static struct store_identity identities[] = {
	{ .id = 1,
	  .replica = { .replica = STR("aaaaa"),
		       .model_version_id = STR("old"),
		       .environment = STR("production"),
		       .model_id = STR("m") } },
	{ .id = 2,
	  .replica = { .replica = STR("bbbbb"),
		       .model_version_id = STR("new"),
		       .environment = STR("production"),
		       .model_id = STR("m") } },
	{ .id = 3, .replica = { .replica = STR("aaaaa"), .model_version_id = STR("old") } },
	{ .id = 4,
	  .replica = { .replica = STR("ccccc"),
		       .model_version_id = STR("old"),
		       .environment = STR("staging") } },
};

static void add(struct archive *archive, const struct record *records, const uint32_t *ids,
		unsigned count)
{
	struct archive_batch batch = { .identities = identities, .identity_count = 4 };
	uint8_t *data;

	for (int i = 0; i < 4; i++)
		identities[i].records = identities[i].last_ns = 0;
	for (unsigned i = 0; i < count; i++)
		batch.len += chunk__entry_size(&records[i]);
	data = malloc(batch.len);
	batch.len = 0;
	for (unsigned i = 0; i < count; i++, batch.records++) {
		chunk__put(data + batch.len, &records[i], ids ? ids[i] : 1, 0);
		batch.len += chunk__entry_size(&records[i]);
	}
	batch.data = data;
	assert_int_equal(archive__add(archive, &batch, now_ns), 0);
	free(data);
}

/* Record i of a long run: a word in three of it has its own number. */
static struct record make(uint64_t i, char *text, char *id)
{
	snprintf(text, 96, "Step %u of run %08x value=%u", (unsigned)i, (unsigned)(i * 2654435761u),
		 (unsigned)(i % 977));
	snprintf(id, 32, "req%07u", (unsigned)(i / 7));
	return (struct record){
		.time_ns = now_ns - 600 * SECOND + i * 1000,
		.severity = i % 1000 == 5 ? SEVERITY_ERROR
			    : i % 3       ? SEVERITY_INFO
					  : SEVERITY_UNSET,
		.body = str_from(text),
		.message = str_from(text),
		.request_id = i % 2 ? str_from(id) : (struct str){ NULL, 0 },
	};
}

static void add_run(struct archive *archive, uint64_t from, uint64_t to, unsigned each)
{
	static char texts[4096][96], ids[4096][32];
	struct record records[4096];

	while (from < to) {
		unsigned n = 0;

		for (; n < each && from < to; n++, from++)
			records[n] = make(from, texts[n], ids[n]);
		add(archive, records, NULL, n);
	}
}

/* ---- a reader */

struct found {
	uint64_t count, last_ns, missing;
	int64_t last_seq;
	uint64_t sum; /* of i */
	char first[512], all[8192];
};

static bool on_found(void *ctx, const struct record *record, int64_t seq, uint32_t missing)
{
	struct found *found = ctx;
	unsigned i = 0;

	assert_true(record->time_ns > found->last_ns ||
		    (record->time_ns == found->last_ns && seq > found->last_seq));
	if (!found->count++)
		snprintf(found->first, sizeof(found->first), "%.*s", (int)record->message.len,
			 record->message.data);
	if (strlen(found->all) + record->message.len + 2 < sizeof(found->all)) {
		strncat(found->all, record->message.data, record->message.len);
		strcat(found->all, "\n");
	}
	if (sscanf(record->message.data, "Step %u", &i) == 1)
		found->sum += i;
	found->missing += missing;
	found->last_ns = record->time_ns;
	found->last_seq = seq;
	return true;
}

static struct found ask_range(const char *text, size_t limit, const struct search_range *range)
{
	struct found found = { 0 };
	struct query_problem problem;
	static struct query query;
	struct search *search;
	int err;

	assert_int_equal(query__parse(str_from(text), &query, &problem), 0);
	search = search__open(dir, &err);
	assert_int_equal(err, 0);
	if (limit)
		err = search__newest(search, &query, range, limit, NULL, on_found, &found);
	else
		err = search__all(search, &query, range, on_found, &found);
	assert_int_equal(err, 0);
	search__close(search);
	return found;
}

static struct found ask(const char *text)
{
	const struct search_range all = { .until_ns = UINT64_MAX };
	struct found found = ask_range(text, 0, &all), newest = ask_range(text, 1 << 20, &all);

	/* both ways find the same */
	assert_int_equal(found.count, newest.count);
	assert_int_equal(found.sum, newest.sum);
	assert_int_equal(found.last_seq, newest.last_seq);
	return found;
}

#define RUN (FILTER_BLOCKS * ARCHIVE_BLOCK_RECORDS + 3 * ARCHIVE_BLOCK_RECORDS + 1234)

static void every_substring_is_found(void **state)
{
	struct archive *archive = open_archive(UINT64_MAX);
	char query[96], text[96], id[32];

	add_run(archive, 0, RUN / 3, 4096);
	add_run(archive, RUN / 3, RUN / 3 + 5000, 17); /* tails */
	archive__close(archive);
	archive = open_archive(UINT64_MAX); /* what was open goes on */
	add_run(archive, RUN / 3 + 5000, RUN, 1000);
	assert_int_equal(ask("").count, RUN);
	assert_int_equal(ask("").sum, (uint64_t)RUN * (RUN - 1) / 2);
	for (uint64_t i = 3; i < RUN; i = i * 5 + 77) {
		make(i, text, id);
		snprintf(query, sizeof(query), "\"RUN %08x\"", (unsigned)(i * 2654435761u));
		assert_int_equal(ask(query).count, 1);
		assert_string_equal(ask(query).first, text);
		/* of seven records of a request three or four have an odd number */
		snprintf(query, sizeof(query), "requestId:%s", id);
		assert_in_range(ask(query).count, 3, 4);
		snprintf(query, sizeof(query), "requestId:%s level:error", id);
		assert_in_range(ask(query).count, 0, 1);
		snprintf(query, sizeof(query), "requestId:%s requestId:req0000001 step", id);
		assert_in_range(ask(query).count, i < 14 ? 3 : 6, 8);
	}
	assert_int_equal(ask("level:error").count, (RUN + 994) / 1000);
	assert_int_equal(ask("value=976").count, RUN / 977);
	assert_int_equal(ask("e=976 st of").count, RUN / 977);
	assert_int_equal(ask("nowhere").count, 0);
	assert_int_equal(ask("requestId:req").count, 0);
	archive__close(archive);
}

static void the_newest_and_the_page_before(void **state)
{
	struct archive *archive = open_archive(UINT64_MAX);
	struct search_place before = { 0 };
	struct search_range range = { .until_ns = UINT64_MAX };
	struct found found;

	add_run(archive, 0, 50000, 3000);
	found = ask_range("", 10, &range);
	assert_int_equal(found.count, 10);
	assert_int_equal(found.sum, 49990 * 10 + 45);
	before = (struct search_place){ now_ns - 600 * SECOND + 49990 * 1000, 49991 };
	range.before = &before;
	found = ask_range("", 100, &range);
	assert_int_equal(found.count, 100);
	assert_int_equal(found.sum, 49890 * 100 + 4950);
	assert_string_not_equal(found.first, "");
	range = (struct search_range){ .since_ns = now_ns - 600 * SECOND + 1000 * 1000,
				       .until_ns = now_ns - 600 * SECOND + 1010 * 1000 };
	assert_int_equal(ask_range("", 0, &range).sum, 10 * 1000 + 45);
	assert_int_equal(ask_range("", 5, &range).sum, 5 * 1005 + 10);
	archive__close(archive);
}

static void whose_lines(void **state)
{
	static const struct record base = { .severity = SEVERITY_INFO };
	static const uint32_t ids[] = { 3, 1, 3, 2, 4, 3 };
	struct archive *archive = open_archive(UINT64_MAX);
	struct record records[6];

	for (unsigned i = 0; i < 6; i++) {
		records[i] = base;
		records[i].time_ns = now_ns - 60 * SECOND + i * SECOND;
		records[i].message = records[i].body = (struct str){ &"abcdef"[i], 1 };
	}
	records[5].exc_info = STR("Traceback:\nBoom at x");
	add(archive, records, ids, 6);
	assert_string_equal(ask("replica:aaaaa").all, "a\nb\nc\nf\n");
	assert_string_equal(ask("replica:bbbbb replica:ccccc").all, "d\ne\n");
	assert_string_equal(ask("deployment:old").all, "a\nb\nc\ne\nf\n");
	assert_string_equal(ask("model:m").all, "b\nd\n");
	/* not before it was active there, and not where it is in another */
	assert_string_equal(ask("environment:production").all, "b\nc\nd\nf\n");
	assert_string_equal(ask("environment:staging").all, "e\nf\n");
	assert_string_equal(ask("boom").all, "f\n");
	assert_int_equal(ask("environment:nowhere").count, 0);
	archive__close(archive);
}

static void streams_are_put_in_order(void **state)
{
	struct archive *archive = open_archive(UINT64_MAX);
	struct record records[3] = { 0 };

	for (unsigned i = 0; i < 3; i++) {
		records[i].time_ns = now_ns - (i + 1) * SECOND;
		records[i].message = records[i].body = (struct str){ &"abc"[i], 1 };
	}
	add(archive, records, NULL, 1);
	add(archive, records + 1, NULL, 2);
	assert_string_equal(ask("").all, "c\nb\na\n"); /* also over two batches */
	archive__close(archive);
}

static void bytes_and_age_are_bounded(void **state)
{
	const uint64_t bound = 4 << 20;
	struct archive *archive = open_archive(bound);
	struct found found;

	add_run(archive, 0, 8 * RUN, 4096);
	assert_in_range(store__bytes(archive__store(archive)), bound / 4, bound);
	found = ask("");
	assert_int_equal(found.last_seq, 8 * RUN); /* the newest are there, the oldest are not */
	assert_in_range(found.count, 1000, 7 * RUN);
	archive__close(archive);
	now_ns += 3700 * SECOND;
	archive = open_archive(bound);
	assert_int_equal(archive__age(archive, now_ns), 0);
	assert_int_equal(ask("").count, 0);
	add_run(archive, 0, 1, 1); /* numbers are not given twice */
	assert_int_equal(ask("").last_seq, 8 * RUN + 1);
	archive__close(archive);
}

static void histogram_counts_every_record(void **state)
{
	static const char *const queries[] = { "", "level:error", "value=9" };
	struct archive *archive = open_archive(UINT64_MAX);
	uint64_t counts[7][CHUNK_LEVELS], from;
	static struct query query;
	struct query_problem problem;
	struct search *search;
	int err;

	add_run(archive, 0, 60000, 4096);
	search = search__open(dir, &err);
	for (unsigned q = 0; q < 3; q++) {
		uint64_t sum = 0;

		assert_int_equal(query__parse(str_from(queries[q]), &query, &problem), 0);
		err = search__histogram(search, &query, now_ns - 600 * SECOND, 10000 * 1000, 7,
					UINT64_MAX, counts, &from);
		assert_int_equal(err, 0);
		for (int b = 0; b < 7; b++)
			for (int l = 0; l < CHUNK_LEVELS; l++)
				sum += counts[b][l];
		assert_int_equal(sum, ask(queries[q]).count);
		assert_int_equal(counts[0][chunk__level(SEVERITY_ERROR)], q == 2 ? 1 : 10);
		assert_int_equal(counts[6][chunk__level(SEVERITY_INFO)], 0);
	}
	search__close(search);
	archive__close(archive);
}

/* ---- the sink with its thread */

static struct history *open_history(struct loop *loop)
{
	const struct history_config config = { .dir = dir };
	int err;
	struct history *history = history__new(loop, &config, &err);

	assert_int_equal(err, 0);
	return history;
}

static void put(struct history *history, uint64_t i)
{
	static const struct replica replica = { .replica = STR("zzzzz"), .environment = STR("e") };
	char text[96], id[32];
	struct record record = make(i, text, id);

	record.replica = &replica;
	history__record(history, &record);
}

static void sink_keeps_all(void **state)
{
	struct loop *loop = loop__new();
	struct history *history = open_history(loop);
	struct history_stats stats;

	for (uint64_t i = 0; i < 20000; i++)
		put(history, i);
	history__stats(history, &stats);
	assert_int_equal(stats.records, 20000);
	history__free(history);
	history = open_history(loop);
	put(history, 20000);
	history__free(history);
	assert_int_equal(ask("").count, 20001);
	assert_int_equal(ask("replica:zzzzz environment:e").count, 20001);
	loop__free(loop);
}

/* A writer that does not get on: what is not kept is counted where it is missing. */
static void thinned_history_says_so(void **state)
{
	struct loop *loop = loop__new();
	struct history *history = open_history(loop);
	struct history_stats stats;
	char path[PATH_MAX];
	struct found found;
	sqlite3 *other;
	uint64_t i = 0;

	put(history, i++);
	snprintf(path, sizeof(path), "%s/" STORE_FILE, dir);
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	sqlite3_busy_timeout(other, 1000);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	while (i < 20ULL * ARCHIVE_BLOCK_RECORDS)
		put(history, i++);
	history__stats(history, &stats);
	assert_true(stats.thinned > 0);
	assert_int_equal(stats.records + stats.thinned, i);
	sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(other);
	do {
		usleep(1000);
		history__stats(history, &stats);
	} while (stats.waiting > 1);
	put(history, i++);
	history__stats(history, &stats);
	history__free(history);
	found = ask("");
	assert_int_equal(found.missing, stats.thinned + stats.lost);
	assert_true(stats.lost == 0); /* held up for less than the time that it waits for others */
	assert_non_null(strstr(
		ask_range("nowhere", 0, &(struct search_range){ .until_ns = UINT64_MAX }).first,
		"records are missing here"));
	loop__free(loop);
}

static void a_damaged_file_is_set_aside(void **state)
{
	struct loop *loop = loop__new();
	struct history *history;
	struct history_stats stats;
	char path[PATH_MAX];
	FILE *out;

	snprintf(path, sizeof(path), "%s/" STORE_FILE, dir);
	out = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database. ", out);
	fclose(out);
	history = open_history(loop);
	put(history, 1);
	history__stats(history, &stats);
	assert_int_equal(stats.set_aside, 1);
	history__free(history);
	assert_int_equal(ask("").count, 1);
	loop__free(loop);
}

static void one_writer_a_directory(void **state)
{
	const struct history_config config = { .dir = dir };
	struct loop *loop = loop__new();
	struct history *history = open_history(loop);
	int err;

	assert_null(history__new(loop, &config, &err));
	assert_int_equal(err, -EBUSY);
	history__free(history);
	loop__free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_substring_is_found, set_up),
		cmocka_unit_test_setup(the_newest_and_the_page_before, set_up),
		cmocka_unit_test_setup(whose_lines, set_up),
		cmocka_unit_test_setup(streams_are_put_in_order, set_up),
		cmocka_unit_test_setup(bytes_and_age_are_bounded, set_up),
		cmocka_unit_test_setup(histogram_counts_every_record, set_up),
		cmocka_unit_test_setup(sink_keeps_all, set_up),
		cmocka_unit_test_setup(thinned_history_says_so, set_up),
		cmocka_unit_test_setup(a_damaged_file_is_set_aside, set_up),
		cmocka_unit_test_setup(one_writer_a_directory, set_up),
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	empty_dir();
	rmdir(dir);
	return failed;
}
