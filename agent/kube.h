/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube: Kubernetes' JSON to and from what the agent works with. The only module that knows it.
 * Nothing of the text is kept; all results are copies. A field that is missing or of another type
 * is taken for absent, as in a PartialObjectMetadata.
 */
#ifndef REQTAP_KUBE_H
#define REQTAP_KUBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "agent/pod.h"
#include "agent/selector.h"

#define KUBE_VERSION_MAX 64 /* a resourceVersion is opaque */
#define KUBE_CONTINUE_MAX 4096

struct kube_rules {
	const struct identity_map *map;
	const struct selector *selected; /* NULL: pods that say a model, chainlet or training job */
	const struct selector *build;    /* pods that build images; NULL: none */
};

/* An event of the cluster (core/v1). */
struct kube_event {
	char kind[32]; /* of its object: "Deployment" */
	char *object;  /* its name */
	char *space;
	char reason[POD_REASON_MAX];
	char *message;
	bool warning;
	unsigned count;
	int64_t time_ns; /* UNIX; of its newest occurrence; 0: not said */
};

struct kube_event *kube_event__free(struct kube_event *event);

enum kube_change_type {
	KUBE_PUT, /* ADDED, MODIFIED, or an item of a list */
	KUBE_DELETED,
	KUBE_BOOKMARK,
	KUBE_ERROR, /* `code` says which; the stream ends */
};

/* One item of a list, or one event of a watch. `pod` and `event` are the receiver's to free. */
struct kube_change {
	enum kube_change_type type;
	struct pod *pod;
	struct kube_event *event;
	char version[KUBE_VERSION_MAX];
	int code;
};

typedef void (*kube_change_fn)(void *ctx, struct kube_change *change);

struct kube_list {
	char version[KUBE_VERSION_MAX];
	char next[KUBE_CONTINUE_MAX]; /* the continue token; "": that was all */
	unsigned items;
};

/* A PodList or an EventList; fn for each item. 0; -EPROTO: not one. */
int kube__list(const struct kube_rules *rules, const char *text, size_t len, kube_change_fn fn,
	       void *ctx, struct kube_list *ret);

/* One line of a watch. 0; -EPROTO: not one. */
int kube__watch(const struct kube_rules *rules, const char *text, size_t len,
		struct kube_change *ret);

/* A Status, as errors bring: its code (0: not one), and a continue token where there is one. */
struct kube_status {
	int code;
	char reason[POD_REASON_MAX];
	char message[256];
	char next[KUBE_CONTINUE_MAX];
};

void kube__status(const char *text, size_t len, struct kube_status *ret);

/* coordination.k8s.io/v1 */
#define KUBE_HOLDER_MAX 254

struct kube_lease {
	char holder[KUBE_HOLDER_MAX];
	char version[KUBE_VERSION_MAX];
	uint32_t duration_s;
	uint32_t transitions;
	int64_t acquired_ns, renewed_ns; /* UNIX */
};

/* 0; -EPROTO: not a lease. */
int kube__lease(const char *text, size_t len, struct kube_lease *ret);
/* NULL: out of memory; the caller frees. `version` "": to be created. */
char *kube__lease_text(const struct kube_lease *lease, const char *space, const char *name);

/* RFC 3339, as Kubernetes writes it; 0: not a time. */
int64_t kube__time(const char *text);

#endif
