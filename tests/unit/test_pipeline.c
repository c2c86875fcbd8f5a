/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "agent/pipeline.h"

/* The real time clock, as far as this process sees it, may be set. */
static int64_t clock_step_s;

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int err = (int)syscall(SYS_clock_gettime, clock, ret);

	if (clock == CLOCK_REALTIME)
		ret->tv_sec += clock_step_s;
	return err;
}

struct seen {
	struct {
		char body[128], message[128], exc_info[128], id[64];
		enum severity severity;
		enum evidence evidence;
		uint64_t time_ns, observed_ns;
		bool has_trace;
		uint8_t trace_first, span_last;
	} got[8];
	unsigned count;
};

struct fixture {
	struct seen seen;
	struct replica_table *replicas;
	struct pipeline *pipeline;
};

static void copy(char *to, size_t size, struct str s)
{
	snprintf(to, size, "%.*s", (int)s.len, s.len ? s.data : "");
}

static void keep(void *ctx, const struct record *record)
{
	struct seen *seen = ctx;
	unsigned i = seen->count++;

	assert_true(i < 8);
	copy(seen->got[i].body, 128, record->body);
	copy(seen->got[i].message, 128, record->message);
	copy(seen->got[i].exc_info, 128, record->exc_info);
	copy(seen->got[i].id, 64, record->request_id);
	seen->got[i].severity = record->severity;
	seen->got[i].evidence = record->evidence;
	seen->got[i].time_ns = record->time_ns;
	seen->got[i].observed_ns = record->observed_ns;
	seen->got[i].has_trace = record->has_trace;
	seen->got[i].trace_first = record->trace_id[0];
	seen->got[i].span_last = record->span_id[7];
	assert_non_null(record->replica);
}

static void open_up(struct fixture *f)
{
	struct pipeline_config config = { .sink = keep, .sink_ctx = &f->seen };

	memset(f, 0, sizeof(*f));
	f->replicas = replica_table__new(NULL);
	f->pipeline = pipeline__new(&config, f->replicas);
	assert_non_null(f->pipeline);
}

static void close_down(struct fixture *f)
{
	f->pipeline = pipeline__free(f->pipeline);
	f->replicas = replica_table__free(f->replicas);
}

struct write {
	const char *text;
	uint64_t time_ns;
	uint64_t request, inode;
	uint32_t tgid, lost_writes;
	uint8_t flags;
};

static void put(struct fixture *f, struct write w)
{
	size_t len = strlen(w.text), size = sizeof(struct event_fragment) + len;
	struct event_fragment *fragment = calloc(1, size);

	assert_non_null(fragment);
	fragment->head = (struct event){ .kind = RT_EVENT_FRAGMENT,
					 .container = 5,
					 .time_ns = w.time_ns ? w.time_ns : 1000 };
	fragment->inode = w.inode ? w.inode : 7;
	fragment->tgid = fragment->tid = w.tgid ? w.tgid : 10;
	fragment->request = w.request;
	fragment->unit = w.request ? RT_UNIT_THREAD : RT_UNIT_NONE;
	fragment->lost_writes = w.lost_writes;
	fragment->lost_reason = RT_LOST_RING;
	fragment->stream = RT_STREAM_STDOUT;
	fragment->flags = w.flags | RT_FRAGMENT_LAST;
	fragment->len = (uint32_t)len;
	memcpy(fragment->data, w.text, len);
	assert_int_equal(pipeline__event(f->pipeline, &fragment->head, size), 0);
	free(fragment);
}

static void begin(struct fixture *f, uint64_t seq, const char *id, const char *traceparent)
{
	struct event_request event = { .head = { .kind = RT_EVENT_REQUEST, .container = 5 },
				       .request = { .seq = seq,
						    .container = 5,
						    .state = RT_REQUEST_OPEN,
						    .id_len = (uint16_t)strlen(id) } };

	memcpy(event.request.id, id, strlen(id));
	if (traceparent) {
		event.request.has_traceparent = 1;
		memcpy(event.request.traceparent, traceparent, RT_TRACEPARENT_LEN);
	}
	assert_int_equal(pipeline__event(f->pipeline, &event.head, sizeof(event)), 0);
}

static void test_fragments_to_records(void **state)
{
	struct fixture f;

	open_up(&f);
	begin(&f, 3, "r3", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	put(&f, (struct write){ .text = "ERROR a", .request = 3 });
	put(&f, (struct write){ .text = "b\n", .request = 3 });
	put(&f, (struct write){ .text = "{\"level\":\"warning\",\"message\":\"m\","
					"\"request_id\":\"own\"}\n",
				.request = 3 });
	put(&f, (struct write){ .text = "nobody's\n" });
	assert_int_equal(f.seen.count, 3);
	assert_string_equal(f.seen.got[0].body, "ERROR ab");
	assert_int_equal(f.seen.got[0].severity, SEVERITY_ERROR);
	assert_string_equal(f.seen.got[0].id, "r3");
	assert_int_equal(f.seen.got[0].evidence, EVIDENCE_THREAD);
	assert_true(f.seen.got[0].has_trace);
	assert_int_equal(f.seen.got[0].trace_first, 0x0a);
	assert_int_equal(f.seen.got[0].span_last, 0x31);
	assert_string_equal(f.seen.got[1].message, "m");
	assert_int_equal(f.seen.got[1].severity, SEVERITY_WARN);
	assert_string_equal(f.seen.got[1].id, "own");
	assert_int_equal(f.seen.got[1].evidence, EVIDENCE_LINE);
	assert_string_equal(f.seen.got[2].id, "");
	assert_false(f.seen.got[2].has_trace);
	close_down(&f);
}

static void test_traceback_is_one_record(void **state)
{
	struct fixture f;

	open_up(&f);
	put(&f, (struct write){ .text = "Traceback (most recent call last):\n  File \"a\"\n"
					"KeyError: 1\n" });
	pipeline__flush(f.pipeline);
	assert_int_equal(f.seen.count, 1);
	assert_string_equal(f.seen.got[0].message, "KeyError: 1");
	assert_int_equal(f.seen.got[0].severity, SEVERITY_ERROR);
	assert_string_equal(f.seen.got[0].exc_info,
			    "Traceback (most recent call last):\n  File \"a\"\nKeyError: 1");
	close_down(&f);
}

static void test_relay(void **state)
{
	struct fixture f;

	open_up(&f);
	begin(&f, 3, "r3", NULL);
	put(&f, (struct write){
			.text = "step\n", .request = 3, .inode = 9, .flags = RT_FRAGMENT_ORIGIN });
	assert_int_equal(f.seen.count, 0);
	put(&f, (struct write){ .text = "worker: step\n", .tgid = 20 });
	assert_int_equal(f.seen.count, 1);
	assert_string_equal(f.seen.got[0].body, "worker: step");
	assert_string_equal(f.seen.got[0].id, "r3");
	assert_int_equal(f.seen.got[0].evidence, EVIDENCE_RELAY);
	close_down(&f);
}

static void test_losses(void **state)
{
	struct fixture f;

	open_up(&f);
	put(&f, (struct write){ .text = "a\n" });
	put(&f, (struct write){ .text = "b\n", .lost_writes = 12 });
	put(&f, (struct write){ .text = "c\n", .lost_writes = 12 });
	assert_int_equal(f.seen.count, 4);
	assert_int_equal(f.seen.got[1].severity, SEVERITY_WARN);
	assert_non_null(strstr(f.seen.got[1].body, " 12 "));
	assert_non_null(strstr(f.seen.got[1].body, "ring full"));
	assert_string_equal(f.seen.got[2].body, "b");
	assert_string_equal(f.seen.got[3].body, "c");
	close_down(&f);
}

static void test_times(void **state)
{
	struct fixture f;
	struct pipeline_stats stats;

	open_up(&f);
	put(&f, (struct write){ .text = "a\nb\nc\n" });
	put(&f, (struct write){ .text = "d\n", .tgid = 11, .lost_writes = 1 });
	assert_int_equal(f.seen.count, 5);
	for (unsigned i = 0; i < f.seen.count; i++) {
		assert_true(!i || f.seen.got[i].time_ns > f.seen.got[i - 1].time_ns);
		assert_true(f.seen.got[i].observed_ns >= f.seen.got[i].time_ns);
	}
	pipeline__stats(f.pipeline, &stats);
	assert_int_equal(stats.records, 5);
	close_down(&f);
}

static void test_bad_events(void **state)
{
	struct event_fragment fragment = { .head.kind = RT_EVENT_FRAGMENT, .len = 1 };
	struct event_request request = { .head.kind = RT_EVENT_REQUEST };
	struct pipeline_stats stats;
	struct fixture f;

	open_up(&f);
	assert_int_equal(pipeline__event(f.pipeline, &fragment.head, 4), -EPROTO);
	assert_int_equal(pipeline__event(f.pipeline, &fragment.head, sizeof(fragment)), -EPROTO);
	assert_int_equal(pipeline__event(f.pipeline, &request.head, sizeof(request) - 1), -EPROTO);
	request.head.kind = 99;
	assert_int_equal(pipeline__event(f.pipeline, &request.head, sizeof(request)), -EPROTO);
	pipeline__stats(f.pipeline, &stats);
	assert_int_equal(stats.bad_events, 4);
	assert_int_equal(f.seen.count, 0);
	close_down(&f);
}

#define SECOND 1000000000ULL

/* Of one stream: distinct and increasing, whoever sets the clock; near the clock when it is right.
 */
static void test_clock_steps(void **state)
{
	static const int64_t steps_s[] = { 0, 0, -3600, -3600, 7200, 7200 };
	struct fixture f;

	open_up(&f);
	for (unsigned i = 0; i < 6; i++) {
		clock_step_s = steps_s[i];
		pipeline__tick(f.pipeline, 0); /* reads the clocks */
		put(&f, (struct write){ "a\n", .time_ns = (i + 1) * SECOND });
	}
	clock_step_s = 0;
	assert_int_equal(f.seen.count, 6);
	for (unsigned i = 1; i < 6; i++)
		assert_true(f.seen.got[i].time_ns > f.seen.got[i - 1].time_ns);
	assert_in_range(f.seen.got[1].time_ns - f.seen.got[0].time_ns, SECOND / 2, SECOND * 2);
	assert_in_range(f.seen.got[4].time_ns - f.seen.got[0].time_ns, 7000 * SECOND,
			7400 * SECOND);
	close_down(&f);
}

/* What the next agent needs, were this one to die, and what it does not send again. */
static void test_held(void **state)
{
	struct fixture f;
	uint64_t unsent;

	open_up(&f);
	pipeline__at(f.pipeline, 64, true);
	put(&f, (struct write){ .text = "sent before\nbegun" });
	assert_int_equal(f.seen.count, 0);
	assert_int_equal(pipeline__held(f.pipeline, &unsent), 64);
	assert_true(unsent == UINT64_MAX);
	pipeline__at(f.pipeline, 128, false);
	put(&f, (struct write){ .text = " and ended\n" });
	assert_string_equal(f.seen.got[0].body, "begun and ended");
	assert_true(pipeline__held(f.pipeline, &unsent) == UINT64_MAX);
	pipeline__at(f.pipeline, 192, false);
	put(&f, (struct write){ "Traceback (most recent call last):\n", .tgid = 11 });
	assert_int_equal(pipeline__held(f.pipeline, &unsent), 192);
	assert_int_equal(unsent, 192);
	pipeline__at(f.pipeline, 256, false);
	put(&f, (struct write){ "origin\n", .inode = 9, .flags = RT_FRAGMENT_ORIGIN });
	pipeline__flush(f.pipeline);
	assert_true(pipeline__held(f.pipeline, &unsent) == UINT64_MAX);
	assert_int_equal(f.seen.count, 2);
	put(&f, (struct write){ "origin\n", .inode = 9, .flags = RT_FRAGMENT_ORIGIN });
	assert_int_equal(pipeline__held(f.pipeline, &unsent), 256);
	pipeline__tick(f.pipeline, SECOND);
	assert_int_equal(pipeline__held(f.pipeline, &unsent), 256);
	pipeline__tick(f.pipeline, 2 * SECOND);
	assert_true(pipeline__held(f.pipeline, &unsent) == UINT64_MAX);
	close_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fragments_to_records),
		cmocka_unit_test(test_traceback_is_one_record),
		cmocka_unit_test(test_relay),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_bad_events),
		cmocka_unit_test(test_clock_steps),
		cmocka_unit_test(test_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
