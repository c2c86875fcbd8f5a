/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <errno.h>
#include <stdio.h>
#include "agent/scaling.h"

static void test_parse(void **state)
{
	static const struct {
		const char *message, *set;
		int err, from, to;
	} all[] = {
		{ "Scaled up replica set m-6c4bd from 0 to 1", "m-6c4bd", 0, 0, 1 },
		{ "Scaled up replica set m-6c4bd to 2 from 1", "m-6c4bd", 0, 1, 2 },
		{ "Scaled down replica set m-6c4bd to 0", "m-6c4bd", 0, -1, 0 },
		{ "Scaled down replica set m", "m", -EPROTO, -1, 0 },
		{ "Scaled up replica set m from -1 to 2", "m", -EPROTO, 0, 0 },
		{ "Scaled up replica set ", "", -EPROTO, 0, 0 },
		{ "Created pod: m-6c4bd-x", "", -EPROTO, 0, 0 },
		{ "", "", -EPROTO, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct str set = { 0 };
		int from = -2, to = -2;

		assert_int_equal(scaling__parse(all[i].message, &set, &from, &to), all[i].err);
		if (all[i].err)
			continue;
		assert_int_equal(from, all[i].from);
		assert_int_equal(to, all[i].to);
		assert_true(str_equal(set, str_from(all[i].set)));
	}
}

static void said(void *ctx, const struct replica *replica, enum severity severity, const char *text)
{
	snprintf(ctx, 256, "%.*s: %s", (int)replica->model_version_id.len,
		 replica->model_version_id.data, text);
}

static void happens(struct scaling *scaling, const char *kind, const char *object,
		    const char *reason, const char *message, const char *want)
{
	struct kube_event event = { .object = (char *)object,
				    .space = "models",
				    .message = (char *)message };
	char text[256] = "";

	snprintf(event.kind, sizeof(event.kind), "%s", kind);
	snprintf(event.reason, sizeof(event.reason), "%s", reason);
	scaling__event(scaling, &event, said, text);
	assert_string_equal(text, want);
}

static void scale(struct scaling *scaling, const char *message, const char *want)
{
	happens(scaling, "Deployment", "m", "ScalingReplicaSet", message, want);
}

static struct pod *make_pod(const char *kind, const char *owner)
{
	struct pod *pod = pod__new(0);

	snprintf(pod->uid, sizeof(pod->uid), "u");
	pod->name = strdup("p");
	pod->space = strdup("models");
	pod->owner = strdup(owner);
	snprintf(pod->owner_kind, sizeof(pod->owner_kind), "%s", kind);
	pod->selected = true;
	identity__set(&pod->early, IDENTITY_VERSION, "v1", 2);
	return pod;
}

static void test_life(void **state)
{
	struct scaling *scaling = scaling__new();
	struct pod *pod = make_pod("ReplicaSet", "m-1");

	/* nobody's, as far as is known */
	scale(scaling, "Scaled up replica set m-1 from 0 to 1", "");
	scaling__pod(scaling, NULL, pod);
	scale(scaling, "Scaled up replica set m-1 from 0 to 1",
	      "v1: deployment activated: scaled up to 1");
	scale(scaling, "Scaled up replica set m-1 from 1 to 3",
	      "v1: deployment scaled up from 1 to 3");
	scale(scaling, "Scaled down replica set m-0 from 1 to 0", "");
	scaling__pod(scaling, pod, NULL);
	scale(scaling, "Scaled down replica set m-1 from 3 to 0", "v1: deployment scaled to zero");
	scale(scaling, "Scaled up replica set m-1 from 0 to 2",
	      "v1: deployment woken: scaled up to 2");
	happens(scaling, "Deployment", "other", "ScalingReplicaSet",
		"Scaled up replica set m-1 from 0 to 2", "");
	pod__free(pod);
	scaling__free(scaling);
}

static void test_job(void **state)
{
	struct scaling *scaling = scaling__new();
	struct pod *pod = make_pod("Job", "training");

	scaling__pod(scaling, NULL, pod);
	happens(scaling, "Job", "training", "Completed", "Job completed", "v1: job completed");
	happens(scaling, "Job", "training", "SuccessfulCreate", "Created pod", "");
	pod__free(pod);
	scaling__free(scaling);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
