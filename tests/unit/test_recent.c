/* SPDX-License-Identifier: Apache-2.0 */
/* After a kill the ring is read again from where it was released: history keeps each record once.
 */
#include "tests/unit/unit.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include "agent/db.h"
#include "agent/history.h"
#include "agent/search.h"

static char dir[] = "/tmp/reqtap-recent-XXXXXX";
static struct loop *loop;
static struct history *history;
static uint64_t boot_ns; /* when CLOCK_BOOTTIME was 0; each agent reads the clocks anew */

static void start(uint64_t unix_ns)
{
	const struct history_config config = { .dir = dir };
	int err;

	boot_ns = unix_ns;
	loop = loop__new();
	history = history__new(loop, &config, &err);
	assert_int_equal(err, 0);
}

static void stop(void)
{
	history = history__free(history);
	loop__free(loop);
}

static void put(uint64_t written_ns, uint32_t tid, const char *text)
{
	static const struct replica replica = { .replica = STR("zzzzz") };
	const struct record record = {
		.time_ns = boot_ns + written_ns + written_ns % 7,
		.written_ns = written_ns,
		.tid = tid,
		.body = str_from(text),
		.message = str_from(text),
		.replica = &replica,
	};

	history__record(history, &record);
}

static bool count(void *ctx, const struct record *record, int64_t seq, uint32_t missing)
{
	++*(unsigned *)ctx;
	return true;
}

static unsigned found(const char *text)
{
	const struct search_range all = { .until_ns = UINT64_MAX };
	struct query_problem problem;
	struct search *search;
	struct query query;
	unsigned records = 0;
	int err;

	assert_int_equal(query__parse(str_from(text), &query, &problem), 0);
	search = search__open(dir, &err);
	assert_int_equal(search__all(search, &query, &all, count, &records), 0);
	search__close(search);
	return records;
}

static void what_comes_again_is_kept_once(void **state)
{
	struct history_stats stats;

	start(1795536000000000000ULL);
	for (uint64_t i = 0; i < 10000; i++)
		put(1000 + i, 1, "one");
	/* one write with two equal lines, of which the second was not kept */
	put(20000, 1, "twice");
	put(0, 0, "own");
	stop();

	start(1795536000000000003ULL);
	for (uint64_t i = 5000; i < 10000; i++)
		put(1000 + i, 1, "one");
	put(20000, 1, "twice");
	put(20000, 1, "twice");
	put(20000, 2, "twice"); /* of another thread */
	put(20001, 1, "twice");
	put(0, 0, "own"); /* the agent's own are no writes: each is kept */
	history__stats(history, &stats);
	assert_int_equal(stats.repeated, 5001);
	assert_int_equal(stats.records, 4);
	stop();

	assert_int_equal(found("one"), 10000);
	assert_int_equal(found("twice"), 4);
	assert_int_equal(found("own"), 2);
}

/* A filter's row is made to fill a page: with smaller ones a search reads twice as often. */
static void the_file_has_large_pages(void **state)
{
	uint8_t header[18];
	char path[PATH_MAX];
	FILE *in;

	start(1);
	stop();
	snprintf(path, sizeof(path), "%s/" STORE_FILE, dir);
	in = fopen(path, "r");
	assert_non_null(in);
	assert_int_equal(fread(header, 1, sizeof(header), in), sizeof(header));
	fclose(in);
	assert_int_equal(header[16] << 8 | header[17], DB_PAGE_BYTES);
}

static int tear_down(void **state)
{
	static const char *const names[] = { "history.db", "history.db-wal", "history.db-shm",
					     "history.lock", "" };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		remove(path);
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_again_is_kept_once),
		cmocka_unit_test(the_file_has_large_pages),
	};

	if (!mkdtemp(dir))
		return 1;
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
