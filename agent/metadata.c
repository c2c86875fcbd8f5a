/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct metadata {
	struct metadata_config config;
	struct pod_table *pods;
	struct kube_http *api, *kubelet;
	struct kube_watch *watch;
	bool listed; /* once: from now on a change is a change */
	char query[320];
};

static void on_pod(void *ctx, const struct pod *before, const struct pod *now)
{
	struct metadata *metadata = ctx;

	metadata->config.changed(metadata->config.ctx, before, now, !metadata->listed);
}

static void on_change(void *ctx, struct kube_change *change)
{
	struct metadata *metadata = ctx;

	kube_event__free(change->event);
	if (!change->pod)
		return;
	if (change->type == KUBE_PUT) {
		pod_table__put(metadata->pods, change->pod);
		return;
	}
	pod_table__remove(metadata->pods, change->pod->uid);
	pod__free(change->pod);
}

static void on_begin(void *ctx)
{
	pod_table__list_begin(((struct metadata *)ctx)->pods);
}

static void on_end(void *ctx)
{
	struct metadata *metadata = ctx;

	pod_table__list_end(metadata->pods);
	metadata->listed = true;
}

static void on_say(void *ctx, const char *line)
{
	struct metadata *metadata = ctx;

	metadata->config.say(metadata->config.ctx, line);
}

/* A node's name is a DNS subdomain; anything else would be another query. */
static int set_query(struct metadata *metadata)
{
	const char *node = metadata->config.node;

	for (const char *c = node; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.')
			return -EINVAL;
	if (!*node || strlen(node) > 253)
		return -EINVAL;
	snprintf(metadata->query, sizeof(metadata->query), "fieldSelector=spec.nodeName%%3D%s",
		 node);
	return 0;
}

static int set_up_servers(struct metadata *metadata, struct loop *loop)
{
	const struct metadata_config *config = &metadata->config;
	char base[512];
	struct kube_http_config http = {
		.base = config->api ? config->api : base,
		.token_file = config->token_file ? config->token_file : KUBE_ACCOUNT_DIR "/token",
		.ca_file = config->ca_file ? config->ca_file : KUBE_ACCOUNT_DIR "/ca.crt",
	};
	int err = config->api ? 0 : kube_http__in_cluster(base, sizeof(base));

	if (err)
		return err;
	metadata->api = kube_http__new(loop, &http);
	if (config->kubelet) {
		http.base = config->kubelet;
		http.insecure = config->kubelet_insecure;
		metadata->kubelet = kube_http__new(loop, &http);
	}
	return metadata->api && (metadata->kubelet || !config->kubelet) ? 0 : -ENOMEM;
}

static int set_up(struct metadata *metadata, struct loop *loop)
{
	struct kube_watch_config watch = {
		.resource = "/api/v1/pods",
		.query = metadata->query,
		.rules = &metadata->config.rules,
		.list_begin = on_begin,
		.list_end = on_end,
		.change = on_change,
		.say = on_say,
		.ctx = metadata,
	};
	int err = set_query(metadata);

	if (!err)
		err = set_up_servers(metadata, loop);
	if (err)
		return err;
	metadata->pods = pod_table__new(METADATA_PODS_MAX, on_pod, metadata);
	if (!metadata->pods)
		return -ENOMEM;
	watch.api = metadata->api;
	watch.kubelet = metadata->kubelet;
	metadata->watch = kube_watch__new(loop, &watch);
	return metadata->watch ? 0 : -ENOMEM;
}

struct metadata *metadata__new(struct loop *loop, const struct metadata_config *config,
			       int *ret_err)
{
	struct metadata *metadata = calloc(1, sizeof(*metadata));

	*ret_err = -ENOMEM;
	if (!metadata)
		return NULL;
	metadata->config = *config;
	*ret_err = set_up(metadata, loop);
	return *ret_err ? metadata__free(metadata) : metadata;
}

struct metadata *metadata__free(struct metadata *metadata)
{
	if (!metadata)
		return NULL;
	kube_watch__free(metadata->watch);
	kube_http__free(metadata->api);
	kube_http__free(metadata->kubelet);
	pod_table__free(metadata->pods);
	free(metadata);
	return NULL;
}

const struct pod_table *metadata__pods(const struct metadata *metadata)
{
	return metadata->pods;
}

const struct kube_watch_stats *metadata__stats(const struct metadata *metadata)
{
	return kube_watch__stats(metadata->watch);
}
