/* SPDX-License-Identifier: Apache-2.0 */
/* Against tests/kube/server.py, which answers as a recorded API server did. */
#include "tests/unit/unit.h"
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "agent/kube_watch.h"

#define NS 1000000000ULL

struct rig {
	FILE *to, *from;
	pid_t server;
	struct loop *loop;
	struct loop_timer *timer;
	uint64_t end_ns;
	struct kube_http *http;
	struct kube_watch *watch;
	struct kube_rules rules;
	struct identity_map map;
	struct pod_table *pods;
	bool (*until)(struct rig *rig);
	unsigned puts, removals, said;
	char last_said[600];
	char environment[64]; /* of the pod "u1" */
};

static void start_server(struct rig *rig)
{
	int in[2], out[2];

	assert_int_equal(pipe(in) | pipe(out), 0);
	rig->server = fork();
	if (!rig->server) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execl("/usr/bin/python3", "python3", "tests/kube/server.py", NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	rig->to = fdopen(in[1], "w");
	rig->from = fdopen(out[0], "r");
}

static void tell(struct rig *rig, const char *line)
{
	char answer[64];

	fprintf(rig->to, "%s\n", line);
	fflush(rig->to);
	assert_non_null(fgets(answer, sizeof(answer), rig->from));
	assert_string_equal(answer, "done\n");
}

static void put(struct rig *rig, const char *uid, const char *environment)
{
	char line[512];

	snprintf(line, sizeof(line),
		 "put "
		 "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"m-%s-abcde\",\"uid\":\"%s\","
		 "\"labels\":{"
		 "\"baseten.co/model-id\":\"m\",\"baseten.co/environment\":\"%s\"}}}",
		 uid, uid, environment);
	tell(rig, line);
}

static void on_pod(void *ctx, const struct pod *before, const struct pod *now)
{
	struct rig *rig = ctx;

	rig->puts += now != NULL;
	rig->removals += !now;
	if (now && !strcmp(now->uid, "u1") && now->early.text[IDENTITY_ENVIRONMENT])
		snprintf(rig->environment, sizeof(rig->environment), "%s",
			 now->early.text[IDENTITY_ENVIRONMENT]);
}

static void on_change(void *ctx, struct kube_change *change)
{
	struct rig *rig = ctx;

	if (!change->pod)
		return;
	if (change->type == KUBE_PUT) {
		pod_table__put(rig->pods, change->pod);
		return;
	}
	pod_table__remove(rig->pods, change->pod->uid);
	pod__free(change->pod);
}

static void on_begin(void *ctx)
{
	pod_table__list_begin(((struct rig *)ctx)->pods);
}

static void on_end(void *ctx)
{
	pod_table__list_end(((struct rig *)ctx)->pods);
}

static void on_say(void *ctx, const char *line)
{
	struct rig *rig = ctx;

	rig->said++;
	snprintf(rig->last_said, sizeof(rig->last_said), "%s", line);
}

static void on_timer(void *ctx, uint64_t now_ns)
{
	struct rig *rig = ctx;

	if (rig->until(rig) || now_ns > rig->end_ns)
		loop__stop(rig->loop);
	loop_timer__set(rig->timer, now_ns + NS / 100);
}

/* Runs the loop until it is so. */
static void wait_until(struct rig *rig, bool (*until)(struct rig *rig))
{
	rig->until = until;
	rig->end_ns = loop__now(rig->loop) + 40 * NS;
	loop_timer__set(rig->timer, loop__now(rig->loop));
	assert_int_equal(loop__run(rig->loop), 0);
	if (!until(rig))
		fail_msg("waited in vain; last said: %s", rig->last_said);
}

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	char base[64], token[256];
	int port;

	signal(SIGPIPE, SIG_IGN);
	start_server(rig);
	assert_int_equal(fscanf(rig->from, "%d %255s%*c", &port, token), 2);
	snprintf(base, sizeof(base), "http://127.0.0.1:%d", port);
	identity_map__init(&rig->map);
	rig->rules.map = &rig->map;
	rig->loop = loop__new();
	rig->timer = loop_timer__new(rig->loop, on_timer, rig);
	rig->pods = pod_table__new(100, on_pod, rig);
	rig->http = kube_http__new(rig->loop,
				   &(struct kube_http_config){ .base = base, .token_file = token });
	*state = rig;
	return 0;
}

static void begin(struct rig *rig, bool kubelet)
{
	struct kube_watch_config config = {
		.api = rig->http,
		.kubelet = kubelet ? rig->http : NULL,
		.resource = "/api/v1/pods",
		.query = "fieldSelector=spec.nodeName%3Dnode-1",
		.rules = &rig->rules,
		.list_begin = on_begin,
		.list_end = on_end,
		.change = on_change,
		.say = on_say,
		.ctx = rig,
	};

	rig->watch = kube_watch__new(rig->loop, &config);
	assert_non_null(rig->watch);
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	kube_watch__free(rig->watch);
	kube_http__free(rig->http);
	pod_table__free(rig->pods);
	loop_timer__free(rig->timer);
	loop__free(rig->loop);
	fclose(rig->to);
	fclose(rig->from);
	waitpid(rig->server, NULL, 0);
	free(rig);
	return 0;
}

static bool synced(struct rig *rig)
{
	return kube_watch__stats(rig->watch)->synced;
}

static bool production(struct rig *rig)
{
	return !strcmp(rig->environment, "production");
}

static bool removed(struct rig *rig)
{
	return rig->removals > 0;
}

static bool watching(struct rig *rig)
{
	return kube_watch__stats(rig->watch)->watches > 0;
}

/* More than a page, a gzipped answer, a change, a deletion, and the ordinary end of a watch. */
static void test_life(void **state)
{
	struct rig *rig = *state;
	char uid[16];

	tell(rig, "watch 0.5");
	tell(rig, "recorded pods-list.json");
	tell(rig, "recorded real-kubelet-pods-list.json");
	for (int i = 0; i < 60; i++) {
		snprintf(uid, sizeof(uid), "u%d", i);
		put(rig, uid, "staging");
	}
	begin(rig, false);
	wait_until(rig, synced);
	assert_in_range(pod_table__count(rig->pods), 77, 90);
	assert_int_equal(kube_watch__stats(rig->watch)->lists, 1);
	put(rig, "u1", "production");
	wait_until(rig, production);
	tell(rig, "delete u1");
	wait_until(rig, removed);
	assert_null(pod_table__find(rig->pods, "u1"));
	assert_int_equal(kube_watch__stats(rig->watch)->lists, 1);
	assert_int_equal(rig->said, 0);
}

static void fault(struct rig *rig, const char *faults)
{
	put(rig, "u1", "staging");
	tell(rig, faults);
	begin(rig, false);
	wait_until(rig, synced);
	wait_until(rig, watching);
	put(rig, "u1", "production");
	wait_until(rig, production);
}

static void test_too_many_requests(void **state)
{
	fault(*state, "fault 429 429");
	assert_int_equal(kube_watch__stats(((struct rig *)*state)->watch)->failures, 2);
}

static void test_timeouts_and_cuts(void **state)
{
	fault(*state, "fault 504 cut 504");
	assert_in_range(kube_watch__stats(((struct rig *)*state)->watch)->failures, 2, 3);
}

static void test_refused_then_granted(void **state)
{
	struct rig *rig = *state;

	fault(rig, "fault 403 401 403");
	assert_true(rig->said == 2);
	assert_string_equal(rig->last_said, "the API server answers again");
}

/* The watch's version is forgotten: an ERROR event in a 200, then a whole list again. */
static void test_gone(void **state)
{
	struct rig *rig = *state;

	put(rig, "u1", "staging");
	put(rig, "u2", "staging");
	begin(rig, false);
	wait_until(rig, synced);
	wait_until(rig, watching);
	tell(rig, "delete u2");
	tell(rig, "put {\"metadata\":{\"name\":\"x\",\"uid\":\"u3\"}}");
	tell(rig, "forget");
	put(rig, "u1", "production");
	wait_until(rig, production);
	wait_until(rig, removed);
	assert_int_equal(pod_table__count(rig->pods), 2);
	assert_true(kube_watch__stats(rig->watch)->lists >= 1);
}

/* A continue token that is too old, in the middle of a list. */
static void test_gone_between_pages(void **state)
{
	struct rig *rig = *state;
	char uid[16];

	for (int i = 0; i < 60; i++) {
		snprintf(uid, sizeof(uid), "u%d", i);
		put(rig, uid, "staging");
	}
	tell(rig, "fault ok 410");
	begin(rig, false);
	wait_until(rig, synced);
	assert_int_equal(pod_table__count(rig->pods), 60);
	assert_int_equal(kube_watch__stats(rig->watch)->resyncs, 1);
}

/* The old token is refused from one moment on; the file has the new one. */
static void test_rotation(void **state)
{
	struct rig *rig = *state;

	tell(rig, "token one");
	tell(rig, "watch 0.3");
	put(rig, "u1", "staging");
	begin(rig, false);
	wait_until(rig, synced);
	tell(rig, "token two");
	put(rig, "u1", "production");
	wait_until(rig, production);
	assert_int_equal(rig->said, 0);
}

/* Lines in two pieces, and watches that are cut off. */
static void test_broken_streams(void **state)
{
	struct rig *rig = *state;

	tell(rig, "slow");
	tell(rig, "cut 2");
	put(rig, "u1", "staging");
	begin(rig, false);
	wait_until(rig, synced);
	wait_until(rig, watching);
	put(rig, "u2", "staging");
	put(rig, "u1", "production");
	wait_until(rig, production);
	assert_non_null(pod_table__find(rig->pods, "u2"));
}

static bool fell_back(struct rig *rig)
{
	return kube_watch__stats(rig->watch)->fallbacks > 0;
}

/* The API server refuses; the kubelet's own list says it. */
static void test_kubelet(void **state)
{
	struct rig *rig = *state;

	put(rig, "u1", "production");
	/* the third request is the kubelet's */
	tell(rig, "fault 403 403 ok 403 403 403");
	begin(rig, true);
	wait_until(rig, fell_back);
	assert_true(production(rig));
	assert_true(kube_watch__stats(rig->watch)->failing);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_life),
		TEST(test_too_many_requests),
		TEST(test_timeouts_and_cuts),
		TEST(test_refused_then_granted),
		TEST(test_gone),
		TEST(test_gone_between_pages),
		TEST(test_rotation),
		TEST(test_broken_streams),
		TEST(test_kubelet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
