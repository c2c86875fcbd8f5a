/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_http: requests to an API server or a kubelet, by libcurl's multi interface on the loop.
 *
 * The token is read from its file for each request, since it rotates; answers are bounded; a stream
 * (a watch) is handed on line by line and ends when nothing came for KUBE_SILENCE_S.
 */
#ifndef REQTAP_KUBE_HTTP_H
#define REQTAP_KUBE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "agent/loop.h"

#define KUBE_ANSWER_MAX (8U << 20) /* of a list's page; 50 pods are about half a megabyte */
#define KUBE_LINE_MAX (2U << 20)   /* etcd holds no object above 1.5 MiB */
#define KUBE_TIMEOUT_S 30
/* Bookmarks come about every minute (kubernetes/pkg/storage/cacher): longer silence is a dead
 * connection that nobody closed. */
#define KUBE_SILENCE_S 120

struct kube_http_config {
	const char *base;       /* "https://10.96.0.1:443" */
	const char *token_file; /* NULL: without */
	const char *ca_file;    /* NULL: the system's */
	bool insecure;          /* the certificate is not checked */
};

struct kube_answer {
	long status;      /* HTTP; 0: no answer */
	const char *data; /* the body; of a stream that was taken: empty */
	size_t len;
	uint64_t retry_after_ns; /* 0: not said */
	const char *error;       /* what curl says where there was no whole answer; else "" */
};

struct kube_request_config {
	const char *method; /* "GET", "POST", "PUT" */
	const char *path;   /* with its query */
	const char *body;   /* JSON, or NULL; copied */
	/* A stream: each line of a 200 answer as it comes. NULL: an ordinary answer. */
	void (*line)(void *ctx, const char *text, size_t len);
	/* Once, from the loop, unless cancelled; the request is freed after it. */
	void (*done)(void *ctx, const struct kube_answer *answer);
	void *ctx;
};

struct kube_http;
struct kube_request;

/* Strings are copied. NULL: out of memory. */
struct kube_http *kube_http__new(struct loop *loop, const struct kube_http_config *config);
/* Requests under way end without an answer. */
struct kube_http *kube_http__free(struct kube_http *http);

/* NULL: out of memory. */
struct kube_request *kube_http__send(struct kube_http *http,
				     const struct kube_request_config *config);
/* Ends it without an answer; returns NULL. May be called from its own line(). */
struct kube_request *kube_request__cancel(struct kube_request *request);

/* Lines that were longer than KUBE_LINE_MAX and passed over. */
uint64_t kube_http__long_lines(const struct kube_http *http);

/*
 * What a pod finds in its environment: KUBERNETES_SERVICE_HOST and _PORT. 0; -ENOENT: not in a
 * cluster; -ENAMETOOLONG.
 */
int kube_http__in_cluster(char *ret_base, size_t size);

#define KUBE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

#endif
