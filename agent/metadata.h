/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metadata: the pods of this node, from wherever they can be known: the API server, else the
 * kubelet; wires kube_http, kube_watch and pod.
 */
#ifndef REQTAP_METADATA_H
#define REQTAP_METADATA_H

#include "agent/kube_watch.h"
#include "agent/pod.h"

#define METADATA_PODS_MAX 1024 /* the kubelet's own limit is 110, the largest in use 500 */

struct metadata_config {
	const char *node;       /* the node's name at the API server */
	const char *api;        /* its URL; NULL: by the pod's environment */
	const char *kubelet;    /* URL; NULL: no fallback */
	const char *token_file; /* NULL: the service account's */
	const char *ca_file;    /* NULL: the service account's */
	bool kubelet_insecure;  /* most kubelets sign their own certificate */
	struct kube_rules rules;
	/* As pod_fn; `initial`: it was so before the agent began, nothing happened. */
	void (*changed)(void *ctx, const struct pod *before, const struct pod *now, bool initial);
	void (*say)(void *ctx, const char *line);
	void *ctx;
};

struct metadata;

/* NULL with *ret_err: -ENOENT neither in a cluster nor told where it is; -EINVAL; -ENOMEM. */
struct metadata *metadata__new(struct loop *loop, const struct metadata_config *config,
			       int *ret_err);
struct metadata *metadata__free(struct metadata *metadata);

const struct pod_table *metadata__pods(const struct metadata *metadata);
const struct kube_watch_stats *metadata__stats(const struct metadata *metadata);

#endif
