/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include "agent/identity.h"
#include "agent/selector.h"

struct pair {
	const char *key, *value;
};

static const char *find_label(void *ctx, const char *key)
{
	for (const struct pair *pair = ctx; pair->key; pair++)
		if (!strcmp(pair->key, key))
			return pair->value;
	return NULL;
}

static const char *find(void *ctx, enum identity_source source, const char *key)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%c:%s", "ale"[source], key);
	return find_label(ctx, whole);
}

static void check(const struct identity *identity, enum identity_member member, const char *want)
{
	if (want)
		assert_string_equal(identity->text[member], want);
	else
		assert_null(identity->text[member]);
}

static void test_order(void **state)
{
	struct pair pod[] = { { "a:baseten.co/model-id", "by annotation" },
			      { "l:baseten.co/model-id", "by label" },
			      { "l:baseten.co/environment", "production" },
			      { "l:serving.knative.dev/revision", "rev-1" },
			      { "e:BT_TRAINING_JOB_ID", "job" },
			      { NULL, NULL } };
	struct identity early = { 0 }, late = { 0 }, copy = { 0 };
	struct identity_map map = { 0 };

	identity_map__init(&map);
	assert_int_equal(identity_map__of_pod(&map, find, pod, &early, &late), 0);
	check(&early, IDENTITY_MODEL, "by annotation");
	check(&early, IDENTITY_ENVIRONMENT, "production");
	check(&early, IDENTITY_VERSION, NULL);
	check(&late, IDENTITY_VERSION, "rev-1");
	check(&late, IDENTITY_TRAINING, "job");
	check(&late, IDENTITY_MODEL, NULL);
	assert_int_equal(identity__copy(&copy, &early), 0);
	assert_true(identity__equal(&copy, &early));
	assert_false(identity__equal(&copy, &late));
	identity__clear(&copy);
	identity__clear(&early);
	identity__clear(&late);
}

static void test_map(void **state)
{
	struct pair pod[] = { { "l:x/y", "mine" }, { NULL, NULL } };
	struct identity early = { 0 }, late = { 0 };
	struct identity_map map = { 0 };

	identity_map__init(&map);
	assert_int_equal(identity_map__parse(&map, "model_id=annotation:q+label:x/y+env:M"), 0);
	assert_int_equal(map.counts[IDENTITY_MODEL], 3);
	assert_string_equal(map.rules[IDENTITY_MODEL][2].key, "M");
	assert_int_equal(identity_map__of_pod(&map, find, pod, &early, &late), 0);
	check(&early, IDENTITY_MODEL, "mine");
	identity__clear(&early);
	identity__clear(&late);
	assert_int_equal(identity_map__parse(&map, "model_id=label:"), -EINVAL);
	assert_int_equal(identity_map__parse(&map, "model_id=text:a"), -EINVAL);
	assert_int_equal(identity_map__parse(&map, "model=label:a"), -EINVAL);
	assert_int_equal(identity_map__parse(&map, "model_id"), -EINVAL);
	assert_int_equal(identity_map__parse(&map, "model_id=label:a++"), -EINVAL);
}

static void test_replica(void **state)
{
	static const struct pair names[] = {
		{ "model-abc123x-wgl7op3-646466fcd8-ng7v7", "ng7v7" },
		{ "node-agent-4zcj9", "4zcj9" },
		{ "vllm-multinode-0", "" },
		{ "hello", "" },
		{ "-ng7v7", "" },
		{ "a-ng7v", "" },
		{ "", "" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(str_equal(identity__replica_of_pod(str_from(names[i].key)),
				      str_from(names[i].value)));
}

static void test_selector(void **state)
{
	struct pair labels[] = {
		{ "app", "model" }, { "tier", "gpu" }, { "e", "" }, { NULL, NULL }
	};
	static const struct {
		const char *text;
		int match; /* -1: not a selector */
	} all[] = {
		{ "", 1 },
		{ "app", 1 },
		{ "!app", 0 },
		{ "!none", 1 },
		{ "app=model", 1 },
		{ "app==model,tier=gpu", 1 },
		{ "app = model , tier!=cpu", 1 },
		{ "app!=model", 0 },
		{ "none!=x", 1 },
		{ "none=x", 0 },
		{ "app in (a, model)", 1 },
		{ "app in (a,b)", 0 },
		{ "app notin (a,b),tier", 1 },
		{ "none notin (a)", 1 },
		{ "e=", 1 },
		{ "app=", 0 },
		{ "in=x", 0 },
		{ "app in ()", 0 },
		{ "app in", -1 },
		{ "app in (a", -1 },
		{ "=x", -1 },
		{ "app!x", -1 },
		{ "app=a b", -1 },
		{ ",", -1 },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct selector *selector = selector__parse(all[i].text);
		int match = selector ? selector__match(selector, find_label, labels) : -1;

		if (match != all[i].match)
			fail_msg("'%s' gives %d", all[i].text, match);
		selector__free(selector);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_replica),
		cmocka_unit_test(test_selector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
