/* SPDX-License-Identifier: Apache-2.0 */
/* What a real API server and kubelet said, read. */
#include "tests/unit/unit.h"
#include <errno.h>
#include <stdio.h>
#include "agent/kube.h"

#define PODS_MAX 64

struct seen {
	struct kube_rules rules;
	struct identity_map map;
	struct pod *pods[PODS_MAX];
	unsigned pod_count;
	struct kube_event *first, *last;
	unsigned event_count;
};

static char *read_recorded(const char *name, size_t *ret_len)
{
	char path[256], *text = malloc(1 << 20);
	FILE *in;

	snprintf(path, sizeof(path), "tests/kube/recorded/%s", name);
	in = fopen(path, "r");
	assert_non_null(in);
	*ret_len = fread(text, 1, 1 << 20, in);
	fclose(in);
	/* to its true size, so that a read beyond it is seen */
	return realloc(text, *ret_len);
}

static int set_up(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));

	identity_map__init(&seen->map);
	seen->rules.map = &seen->map;
	*state = seen;
	return 0;
}

static int tear_down(void **state)
{
	struct seen *seen = *state;

	for (unsigned i = 0; i < seen->pod_count; i++)
		pod__free(seen->pods[i]);
	kube_event__free(seen->first);
	if (seen->last != seen->first)
		kube_event__free(seen->last);
	free(seen);
	return 0;
}

static void on_change(void *ctx, struct kube_change *change)
{
	struct seen *seen = ctx;

	if (change->pod)
		seen->pods[seen->pod_count++] = change->pod;
	if (!change->event)
		return;
	seen->event_count++;
	if (!seen->first)
		seen->first = change->event;
	else if (seen->last != seen->first)
		kube_event__free(seen->last);
	seen->last = change->event;
}

static void list(struct seen *seen, const char *name, struct kube_list *ret)
{
	size_t len;
	char *text = read_recorded(name, &len);

	assert_int_equal(kube__list(&seen->rules, text, len, on_change, seen, ret), 0);
	free(text);
}

static const struct pod *find(const struct seen *seen, const char *name)
{
	for (unsigned i = seen->pod_count; i-- > 0;)
		if (!strcmp(seen->pods[i]->name, name))
			return seen->pods[i];
	fail_msg("no pod %s", name);
	return NULL;
}

static void assert_str(struct str got, const char *want)
{
	if (got.len != strlen(want) || memcmp(got.data, want, got.len))
		fail_msg("'%.*s' is not '%s'", (int)got.len, got.data, want);
}

static void test_list(void **state)
{
	struct seen *seen = *state;
	struct kube_list ret;
	const struct pod *pod;

	list(seen, "pods-list.json", &ret);
	assert_int_equal(ret.items, 16);
	assert_int_equal(seen->pod_count, 16);
	assert_string_equal(ret.version, "825");
	assert_string_equal(ret.next, "");
	pod = find(seen, "model-abc123x-wgl7op3-646466fcd8-ng7v7");
	assert_string_equal(pod->uid, "bb3d1d86-d979-4e9e-aac2-411f37e06e97");
	assert_string_equal(pod->space, "models");
	assert_string_equal(pod->owner, "model-abc123x-wgl7op3-646466fcd8");
	assert_true(pod->selected && pod->scheduled && pod->ready && !pod->deleting && !pod->build);
	assert_str(pod__replica(pod).model_id, "abc123x");
	assert_str(pod__replica(pod).model_version_id, "wgl7op3");
	assert_str(pod__replica(pod).environment, "production");
	assert_str(pod__replica(pod).replica, "ng7v7");
	assert_int_equal(pod->count, 1);
	assert_string_equal(pod->containers[0].id,
			    "b138cb707388634c716e8cd16b472329400e13a2f4d9e5bee63a5f04628dd07f");
	assert_ptr_equal(pod__container(pod, pod->containers[0].id), &pod->containers[0]);
	assert_null(pod__container(pod, ""));
}

static void test_states(void **state)
{
	struct seen *seen = *state;
	struct kube_list ret;
	const struct pod *pod;

	list(seen, "pods-list.json", &ret);
	pod = find(seen, "model-qrj5y2w-crash01-577844dcf8-qzhzj");
	assert_int_equal(pod->containers[0].state, POD_WAITING);
	assert_string_equal(pod->containers[0].reason, "CrashLoopBackOff");
	assert_int_equal(pod->containers[0].last_exit_code, 1);
	pod = find(seen, "model-nnn0p3d-oomed01-5b454c8fdb-z5qnl");
	assert_int_equal(pod->containers[0].state, POD_RUNNING);
	assert_string_equal(pod->containers[0].last_reason, "OOMKilled");
	assert_int_equal(pod->containers[0].last_exit_code, 137);
	pod = find(seen, "model-abc123x-wgl7op3-6b9f7c-evict");
	assert_int_equal(pod->phase, POD_FAILED);
	assert_string_equal(pod->reason, "Evicted");
	assert_string_equal(pod->containers[0].id, "");
	pod = find(seen, "training-job-q5k2w1x-1-t4g6x");
	assert_int_equal(pod->containers[0].state, POD_TERMINATED);
	assert_string_equal(pod->containers[0].reason, "Completed");
	assert_true(pod->selected);
	assert_str(pod__replica(pod).training_job_id, "q5k2w1x");
	pod = find(seen, "vllm-multinode-0");
	assert_int_equal(pod__replica(pod).replica.len, 0);
	pod = find(seen, "node-agent-4zcj9");
	assert_false(pod->selected);
	/* a static pod: the mirror's own uid is in no path */
	pod = find(seen, "node-local-proxy-node-1");
	assert_string_equal(pod->uid, "2053dbbf6ec7135c4e994d3464c478db");
	pod = find(seen, "triton-ensemble-7594d648c-tzqfg");
	assert_int_equal(pod->count, 5);
	assert_true(pod->containers[3].init && pod->containers[4].init);
}

static const char *const knative = "serving.knative.dev/revision";

static void test_selectors(void **state)
{
	struct seen *seen = *state;
	struct selector *selected = selector__parse(knative);
	struct selector *build =
		selector__parse("app=node-agent,app.kubernetes.io/name=node-agent");
	struct kube_list ret;
	unsigned count = 0;

	seen->rules.selected = selected;
	seen->rules.build = build;
	list(seen, "pods-list.json", &ret);
	for (unsigned i = 0; i < seen->pod_count; i++) {
		count += seen->pods[i]->selected;
		assert_false(seen->pods[i]->build);
	}
	assert_int_equal(count, 1);
	selector__free(selected);
	selector__free(build);
}

static void test_pages_and_parts(void **state)
{
	struct seen *seen = *state;
	struct kube_list ret;

	list(seen, "pods-list-page1.json", &ret);
	assert_int_equal(ret.items, 7);
	assert_true(ret.next[0]);
	list(seen, "pods-list-page3.json", &ret);
	assert_int_equal(ret.items, 2);
	assert_string_equal(ret.next, "");
	list(seen, "pods-list-empty.json", &ret);
	assert_int_equal(ret.items, 0);
	list(seen, "pods-list-partial.json", &ret);
	assert_int_equal(ret.items, 16);
	assert_str(pod__replica(find(seen, "model-abc123x-wgl7op3-646466fcd8-ng7v7")).model_id,
		   "abc123x");
	list(seen, "kubelet-pods-token.json", &ret);
	assert_string_equal(find(seen, "hello-node-2")->uid, "55f434ba2f657a2c1307d23d7b071615");
}

/* Each line of a watch, without the chunk framing. */
static unsigned watch(struct seen *seen, const char *name, enum kube_change_type type,
		      struct kube_change *ret_last)
{
	size_t len;
	char *text = read_recorded(name, &len), *at = text;
	unsigned count = 0;

	while (at < text + len) {
		size_t size = strtoul(at, &at, 16), done = 0;

		at += 2;
		/* one chunk is one line here; what follows the last is the end */
		while (done < size) {
			struct kube_change change;
			char *end = memchr(at + done, '\n', size - done);
			size_t line = (end ? (size_t)(end - at) : size) - done;

			assert_int_equal(kube__watch(&seen->rules, at + done, line, &change), 0);
			count += change.type == type;
			if (change.type == type)
				*ret_last = change;
			on_change(seen, &change);
			done += line + 1;
		}
		at += size + 2;
	}
	free(text);
	return count;
}

static void test_watch(void **state)
{
	struct seen *seen = *state;
	struct kube_change change;

	assert_true(watch(seen, "watch-pods.chunked", KUBE_PUT, &change) > 5);
	assert_int_equal(watch(seen, "watch-pods.chunked", KUBE_BOOKMARK, &change), 2);
	assert_true(change.version[0] && !change.pod);
	assert_int_equal(watch(seen, "watch-pods.chunked", KUBE_DELETED, &change), 1);
	assert_non_null(change.pod);
	assert_true(change.pod->deleting);
	assert_int_equal(watch(seen, "watch-410-expired.chunked", KUBE_ERROR, &change), 1);
	assert_int_equal(change.code, 410);
	assert_true(watch(seen, "watch-events.chunked", KUBE_PUT, &change) > 1);
	assert_non_null(change.event);
}

static void test_events(void **state)
{
	struct seen *seen = *state;
	struct kube_list ret;

	list(seen, "events-list.json", &ret);
	assert_true(seen->event_count > 20);
	assert_string_equal(seen->first->reason, "SystemOOM");
	assert_true(seen->first->warning);
	assert_int_equal(seen->first->time_ns, 1795441512000000000LL);
}

static void test_time(void **state)
{
	assert_int_equal(kube__time("1970-01-01T00:00:01Z"), 1000000000);
	assert_int_equal(kube__time("1970-01-01T00:00:01.000250Z"), 1000250000);
	assert_int_equal(kube__time("1970-01-01T00:00:01+01:00"), 0);
	assert_int_equal(kube__time("4052-01-01T00:00:01Z"), 0);
	assert_int_equal(kube__time("soon"), 0);
	assert_int_equal(kube__time(NULL), 0);
}

static void test_status(void **state)
{
	struct kube_status status;
	size_t len;
	char *text = read_recorded("error-410-continue-expired.json", &len);

	kube__status(text, len, &status);
	assert_int_equal(status.code, 410);
	assert_true(status.next[0]);
	free(text);
	text = read_recorded("error-429.txt", &len);
	kube__status(text, len, &status);
	assert_int_equal(status.code, 0);
	free(text);
	kube__status("", 0, &status);
	assert_int_equal(status.code, 0);
}

static void test_lease(void **state)
{
	struct kube_lease lease, again;
	size_t len;
	char *text = read_recorded("lease-get.json", &len), *made;

	assert_int_equal(kube__lease(text, len, &lease), 0);
	assert_string_equal(lease.holder, "node-1_7b1c");
	assert_int_equal(lease.duration_s, 15);
	assert_int_equal(lease.renewed_ns - lease.acquired_ns, 10000000000LL);
	made = kube__lease_text(&lease, "observability", "node-agent");
	assert_int_equal(kube__lease(made, strlen(made), &again), 0);
	assert_memory_equal(&lease, &again, sizeof(lease));
	free(made);
	free(text);
	text = read_recorded("lease-update-409-conflict.json", &len);
	assert_int_equal(kube__lease(text, len, &lease), -EPROTO);
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_list),      TEST(test_states),
		TEST(test_selectors), TEST(test_pages_and_parts),
		TEST(test_watch),     TEST(test_events),
		TEST(test_time),      TEST(test_status),
		TEST(test_lease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
