/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deploy: what happened to a replica, from two looks at its pod. One line each, with a severity:
 * a crash is an error, a replica that is not ready a warning.
 */
#ifndef REQTAP_DEPLOY_H
#define REQTAP_DEPLOY_H

#include "agent/pod.h"

/* `text` lives until the function returns. */
typedef void (*deploy_fn)(void *ctx, enum severity severity, const char *text);

/* As pod_fn: `before` NULL: it appeared; `now` NULL: it is gone. Those in `sidecars` are left out.
 */
void deploy__pod(const struct pod *before, const struct pod *now, const char *const *sidecars,
		 deploy_fn fn, void *ctx);

/* A promotion that no label tells; `before`: the environment that it was in. */
void deploy__promoted(const struct replica *now, struct str before, deploy_fn fn, void *ctx);

/* A record of the scope reqtap.deploy, of now. */
void deploy__record(const struct replica *replica, enum severity severity, const char *text,
		    record_fn sink, void *ctx);

#endif
