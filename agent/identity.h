/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity: which words say whose line it is, and where each is looked for.
 *
 * A rule names a source: an annotation or a label of the pod, or a variable of the process. The
 * rules of a member are tried in order, and the first that says something wins; what a label says
 * after a variable in that order counts only where no process says it (struct identity `late`).
 */
#ifndef REQTAP_IDENTITY_H
#define REQTAP_IDENTITY_H

#include <stdbool.h>
#include "agent/record.h"

enum identity_member {
	IDENTITY_REPLICA,
	IDENTITY_MODEL,
	IDENTITY_VERSION,
	IDENTITY_ENVIRONMENT,
	IDENTITY_CHAINLET,
	IDENTITY_TRAINING,
	IDENTITY_MEMBERS,
};

/* NULL: it does not say. */
struct identity {
	char *text[IDENTITY_MEMBERS];
};

void identity__clear(struct identity *identity);

/* `len` 0 unsets. A longer text than IDENTITY_TEXT_MAX is taken for none. 0 or -ENOMEM. */
#define IDENTITY_TEXT_MAX 256
int identity__set(struct identity *identity, enum identity_member member, const char *text,
		  size_t len);
/* Clears `ret` first. 0 or -ENOMEM. */
int identity__copy(struct identity *ret, const struct identity *from);
bool identity__equal(const struct identity *a, const struct identity *b);

struct str *identity__member(struct replica *replica, enum identity_member member);
/* "model_id": its name as an attribute. */
const char *identity__member_name(enum identity_member member);

/* The pod name's last part, when that has 5 characters: "ng7v7" of "m-646466fcd8-ng7v7". */
struct str identity__replica_of_pod(struct str pod_name);

enum identity_source {
	IDENTITY_ANNOTATION,
	IDENTITY_LABEL,
	IDENTITY_ENV,
};

#define IDENTITY_RULES_MAX 8
#define IDENTITY_KEY_MAX 128

struct identity_rule {
	enum identity_source source;
	char key[IDENTITY_KEY_MAX];
};

struct identity_map {
	struct identity_rule rules[IDENTITY_MEMBERS][IDENTITY_RULES_MAX];
	unsigned counts[IDENTITY_MEMBERS];
};

void identity_map__init(struct identity_map *map);

/* "model_id=label:example.com/model+env:MODEL" replaces the rules of that member. 0 or -EINVAL. */
int identity_map__parse(struct identity_map *map, const char *text);

/* What a pod says, by `find` (NULL: it does not have it): before and after the process. */
typedef const char *(*identity_find_fn)(void *ctx, enum identity_source source, const char *key);
int identity_map__of_pod(const struct identity_map *map, identity_find_fn find, void *ctx,
			 struct identity *early, struct identity *late);

#endif
