/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_watch: keeps up with one kind of object: lists it in pages, watches from there, lists anew
 * when the server has forgotten that version (410), and backs off when it does not answer. While
 * the API server fails, the kubelet's own list of pods is read instead, where one is given.
 */
#ifndef REQTAP_KUBE_WATCH_H
#define REQTAP_KUBE_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include "agent/kube.h"
#include "agent/kube_http.h"

#define KUBE_PAGE 50                   /* items; keeps a page's JSON tree within a few MiB */
#define KUBE_WATCH_S 300               /* then the server ends it, and another begins */
#define KUBE_FALLBACK_NS 5000000000ULL /* between two reads of the kubelet's list */

struct kube_watch_config {
	struct kube_http *api;
	struct kube_http *kubelet; /* NULL: no fallback */
	const char *resource;      /* "/api/v1/pods" */
	const char *query;         /* "fieldSelector=spec.nodeName%3Dnode-1", or "" */
	const struct kube_rules *rules;
	/* A whole list comes between these two: what is not in it is gone. */
	void (*list_begin)(void *ctx);
	void (*list_end)(void *ctx);
	/* KUBE_PUT and KUBE_DELETED; the receiver frees pod and event. */
	kube_change_fn change;
	/* One line for the user, when something begins or ends to be wrong. */
	void (*say)(void *ctx, const char *line);
	void *ctx;
};

struct kube_watch_stats {
	uint64_t lists, watches, changes, bookmarks, resyncs, failures, fallbacks;
	uint64_t heard_ns; /* CLOCK_BOOTTIME of the newest word of either server; 0: never */
	bool synced;       /* a whole list was read */
	bool failing;      /* the API server does not answer as it should */
};

struct kube_watch;

/* Begins at once. Strings and rules stay the caller's. NULL: out of memory. */
struct kube_watch *kube_watch__new(struct loop *loop, const struct kube_watch_config *config);
struct kube_watch *kube_watch__free(struct kube_watch *watch);

const struct kube_watch_stats *kube_watch__stats(const struct kube_watch *watch);

#endif
