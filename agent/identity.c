/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const member_names[IDENTITY_MEMBERS] = {
	[IDENTITY_REPLICA] = "replica",          [IDENTITY_MODEL] = "model_id",
	[IDENTITY_VERSION] = "model_version_id", [IDENTITY_ENVIRONMENT] = "environment",
	[IDENTITY_CHAINLET] = "chainlet_id",     [IDENTITY_TRAINING] = "training_job_id",
};

static const char *const source_names[] = {
	[IDENTITY_ANNOTATION] = "annotation:",
	[IDENTITY_LABEL] = "label:",
	[IDENTITY_ENV] = "env:",
};

/* A Knative revision and a KServe service are what a deployment and a model are there. */
static const char *const defaults[] = {
	"replica=annotation:baseten.co/replica+label:baseten.co/replica",
	"model_id=annotation:baseten.co/model-id+label:baseten.co/model-id+env:BT_MODEL_ID+"
	"label:serving.kserve.io/inferenceservice+label:serving.knative.dev/service",
	"model_version_id=annotation:baseten.co/model-version-id+label:baseten.co/model-version-id+"
	"env:BT_MODEL_DEPLOYMENT_ID+label:serving.knative.dev/revision",
	"environment=annotation:baseten.co/environment+label:baseten.co/environment",
	"chainlet_id=annotation:baseten.co/chainlet-id+label:baseten.co/chainlet-id",
	"training_job_id=annotation:baseten.co/training-job-id+label:baseten.co/training-job-id+"
	"env:BT_TRAINING_JOB_ID",
};

void identity__clear(struct identity *identity)
{
	for (int m = 0; m < IDENTITY_MEMBERS; m++) {
		free(identity->text[m]);
		identity->text[m] = NULL;
	}
}

int identity__set(struct identity *identity, enum identity_member member, const char *text,
		  size_t len)
{
	char *copy = len && len <= IDENTITY_TEXT_MAX ? strndup(text, len) : NULL;

	if (len && len <= IDENTITY_TEXT_MAX && !copy)
		return -ENOMEM;
	free(identity->text[member]);
	identity->text[member] = copy;
	return 0;
}

int identity__copy(struct identity *ret, const struct identity *from)
{
	int err = 0;

	for (int m = 0; m < IDENTITY_MEMBERS && !err; m++) {
		struct str text = str_from(from->text[m]);

		err = identity__set(ret, m, text.data, text.len);
	}
	return err;
}

bool identity__equal(const struct identity *a, const struct identity *b)
{
	for (int m = 0; m < IDENTITY_MEMBERS; m++)
		if (!str_equal(str_from(a->text[m]), str_from(b->text[m])))
			return false;
	return true;
}

struct str *identity__member(struct replica *replica, enum identity_member member)
{
	struct str *const members[IDENTITY_MEMBERS] = {
		[IDENTITY_REPLICA] = &replica->replica,
		[IDENTITY_MODEL] = &replica->model_id,
		[IDENTITY_VERSION] = &replica->model_version_id,
		[IDENTITY_ENVIRONMENT] = &replica->environment,
		[IDENTITY_CHAINLET] = &replica->chainlet_id,
		[IDENTITY_TRAINING] = &replica->training_job_id,
	};

	return members[member];
}

const char *identity__member_name(enum identity_member member)
{
	return member_names[member];
}

struct str identity__replica_of_pod(struct str pod_name)
{
	const size_t len = 5;
	const char *part = pod_name.data + pod_name.len - len;

	if (pod_name.len < len + 2 || part[-1] != '-' || memchr(part, '-', len))
		return (struct str){ NULL, 0 };
	return (struct str){ part, len };
}

static int parse_rule(const char *text, size_t len, struct identity_rule *ret)
{
	for (int s = 0; s <= IDENTITY_ENV; s++) {
		size_t head = strlen(source_names[s]);

		if (len <= head || strncmp(text, source_names[s], head))
			continue;
		if (len - head >= sizeof(ret->key))
			return -EINVAL;
		ret->source = s;
		memcpy(ret->key, text + head, len - head);
		ret->key[len - head] = 0;
		return 0;
	}
	return -EINVAL;
}

int identity_map__parse(struct identity_map *map, const char *text)
{
	struct identity_rule rules[IDENTITY_RULES_MAX];
	size_t name_len = strcspn(text, "=");
	unsigned count = 0;
	int member = 0;

	while (member < IDENTITY_MEMBERS && (strlen(member_names[member]) != name_len ||
					     strncmp(member_names[member], text, name_len)))
		member++;
	if (member == IDENTITY_MEMBERS || text[name_len] != '=')
		return -EINVAL;
	for (text += name_len; *text; count++) {
		size_t len = strcspn(text + 1, "+");

		if (count == IDENTITY_RULES_MAX || parse_rule(text + 1, len, &rules[count]))
			return -EINVAL;
		text += 1 + len;
	}
	memcpy(map->rules[member], rules, count * sizeof(rules[0]));
	map->counts[member] = count;
	return 0;
}

void identity_map__init(struct identity_map *map)
{
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		identity_map__parse(map, defaults[i]);
}

int identity_map__of_pod(const struct identity_map *map, identity_find_fn find, void *ctx,
			 struct identity *early, struct identity *late)
{
	int err = 0;

	for (int m = 0; m < IDENTITY_MEMBERS; m++) {
		struct identity *ret = early;

		for (unsigned i = 0; i < map->counts[m] && !err; i++) {
			const struct identity_rule *rule = &map->rules[m][i];
			struct str text = str_from(find(ctx, rule->source, rule->key));

			/* the process's own variable decides, not what the pod's spec says of it */
			if (rule->source == IDENTITY_ENV)
				ret = late;
			if (text.len && !ret->text[m])
				err = identity__set(ret, m, text.data, text.len);
		}
	}
	return err;
}
