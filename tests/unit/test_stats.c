/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include "agent/counter.h"
#include "agent/stats.h"

static struct line_stats line = { .lines = 1001, .cut_bytes = 1002 };
static struct http2_stats http2 = { .streams = 3, .without_id = 1 };
static struct attribute_stats attribute = { .by_evidence = { 7, 0, 5 } };
static struct export_stats export = { .accepted = 1003, .last_status = 503, .last_reason = "busy" };
static struct outbox_stats outbox;

static struct stats some(void)
{
	struct stats stats = {
		.up_ns = 2500000000,
		.now_unix_ns = 1000000000000000000ULL,
		.plan = "syscall",
		.plan_reason = "no trampolines",
		.pipeline = { .records = 1004,
			      .line = &line,
			      .attribute = &attribute,
			      .http2 = &http2 },
		.shipper = { .enabled = true,
			     .sent_records = 1005,
			     .export = &export,
			     .outbox = &outbox },
		.containers = { .count = 3, .overflow = 1006 },
		.hold = { .bytes = 1007, .held = 1008, .forced = 1009 },
		.has_metadata = true,
		.metadata = { .heard_ns = 1, .synced = true, .resyncs = 1010, .failures = 1011 },
		.programs = { { "rt_exit", 1500000000, 3 } },
		.program_count = 1,
		.runtimes = { { "CPython", "3.11", "/usr/bin/python3.11", "contexts", "", 3 },
			      { "CPython", "3.8", "/opt/python3.8", "threads",
				"this build is not known", 0 } },
		.runtime_count = 2,
	};

	outbox = (struct outbox_stats){ .on_disk = true };
	for (unsigned i = 0; i < RT_COUNTERS; i++)
		stats.kernel[i] = 100000 + i;
	return stats;
}

/* The text of one of the writers; the caller frees. */
static char *text_of(void (*write)(const struct stats *, FILE *), const struct stats *stats)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	write(stats, out);
	fclose(out);
	return text;
}

/* A counter that no name is given to would be a loss that nobody sees. */
static void test_every_counter_is_shown(void **state)
{
	struct stats stats = some();
	char *metrics = text_of(stats__metrics, &stats), *json = stats__json(&stats), number[16];

	for (unsigned i = 0; i < RT_COUNTERS; i++) {
		const struct counter *c = counter__of(i);

		assert_non_null(c);
		assert_true(c->kind == COUNTER_WORK || c->why);
		snprintf(number, sizeof(number), "%u", 100000 + i);
		assert_non_null(strstr(json, number));
		if (c->kind != COUNTER_WORK)
			assert_non_null(strstr(metrics, number));
	}
	assert_null(counter__of(RT_COUNTERS));
	free(metrics);
	free(json);
}

/* Each family has its help and type once, before its samples. */
static void test_metrics_format(void **state)
{
	struct stats stats = some();
	char *metrics = text_of(stats__metrics, &stats), *at = metrics, family[64] = "";

	for (char *next; (next = strchr(at, '\n')); at = next + 1) {
		*next = 0;
		if (!strncmp(at, "# HELP ", 7)) {
			sscanf(at + 7, "%63s", family);
			assert_true(next[-1] == '.');
		} else if (strncmp(at, "# TYPE ", 7)) {
			assert_memory_equal(at, family, strlen(family));
			assert_non_null(strchr(" {", at[strlen(family)]));
		}
		*next = '\n';
	}
	assert_int_equal(*at, 0);
	assert_non_null(strstr(metrics, "\nreqtap_lines_total 1001\n"));
	assert_non_null(strstr(metrics, "\nreqtap_attributed_total{evidence=\"none\"} 7\n"));
	assert_non_null(strstr(metrics, "\nreqtap_attributed_total{evidence=\"unit\"} 5\n"));
	assert_non_null(strstr(metrics, "\nreqtap_up_seconds 2.5\n"));
	assert_non_null(strstr(metrics, "\nreqtap_program_seconds_total{program=\"rt_exit\"} 1.5"));
	free(metrics);
}

static void test_json(void **state)
{
	struct stats stats = some();
	char *text = stats__json(&stats);
	cJSON *root = cJSON_Parse(text), *item;

	assert_non_null(root);
	item = cJSON_GetObjectItemCaseSensitive(root, "lines_by_evidence");
	assert_int_equal(cJSON_GetObjectItemCaseSensitive(item, "unit")->valueint, 5);
	item = cJSON_GetObjectItemCaseSensitive(root, "export");
	assert_string_equal(cJSON_GetObjectItemCaseSensitive(item, "last_reason")->valuestring,
			    "busy");
	assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "ready")));
	item = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(root, "runtimes"), 1);
	assert_string_equal(cJSON_GetObjectItemCaseSensitive(item, "unit")->valuestring, "threads");
	assert_string_equal(cJSON_GetObjectItemCaseSensitive(item, "not_followed")->valuestring,
			    "this build is not known");
	cJSON_Delete(root);
	free(text);
}

/* What is bounded says so when its bound is reached, in all three forms. */
static void test_metadata(void **state)
{
	struct stats stats = some();
	char *texts[] = { text_of(stats__metrics, &stats), stats__json(&stats),
			  text_of(stats__text, &stats) };
	const char *numbers[] = { "1006", "1007", "1009", "1010", "1011" };

	for (int i = 0; i < 3; i++) {
		for (int n = 0; n < 5; n++)
			assert_non_null(strstr(texts[i], numbers[n]));
		free(texts[i]);
	}
}

static void test_ready(void **state)
{
	struct stats stats = some();
	char *text;

	assert_null(stats__unready(&stats));
	outbox.oldest_ns = stats.now_unix_ns - 301000000000ULL;
	assert_non_null(strstr(stats__unready(&stats), "five minutes"));
	stats.shipper.enabled = false;
	assert_null(stats__unready(&stats));
	outbox.on_disk = false;
	outbox.disk_faults = 1;
	text = text_of(stats__text, &stats);
	assert_non_null(strstr(text, "not ready: the state directory"));
	assert_non_null(
		strstr(text, "\nruntimes    CPython 3.11, by contexts, 3 processes: /usr/bin"));
	assert_non_null(strstr(text, "CPython 3.8, by threads (this build is not known): /opt/"));
	assert_non_null(strstr(text, "(ring full)"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_counter_is_shown),
		cmocka_unit_test(test_metrics_format),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
