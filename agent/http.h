/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: the agent's small server: the page, its API, and what else has a row in the table of
 * routes.
 *
 * It serves on loopback, or on a UNIX socket that only its owner can open. Beyond loopback it takes
 * a token, without which it does not start. What a browser sends from another origin is refused,
 * and so is a Host that is not ours (DNS rebinding). Each connection has a thread, so a handler may
 * take its time; it must not touch what belongs to the loop.
 */
#ifndef REQTAP_HTTP_H
#define REQTAP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "agent/str.h"

#define HTTP_CONNECTIONS_MAX 64
#define HTTP_TOKEN_MIN 16 /* characters */

struct http;
struct http_request;

struct http_route {
	const char *path; /* "/api/v1/logs"; NULL ends the table */
	const char *type; /* of the answer; NULL: the handler sets it */
	bool open;        /* needs no token: it tells nothing of the logs */
	bool post;        /* POST, not GET */
	/* The status; writes the body to `out`, or calls http__stream(). */
	unsigned (*handle)(void *ctx, struct http_request *request, FILE *out);
	void *ctx;
};

struct http_config {
	const char *listen; /* "127.0.0.1:8430", "[::1]:0", "8430", "0.0.0.0:8430", "unix:/path" */
	const char *token;  /* NULL: none */
	const struct http_route *routes;
};

/* NULL with *ret_problem: one line, the caller frees; *ret_err -EINVAL: the address or the token
 * are wrong, else the system's. The routes must outlive it. */
struct http *http__new(const struct http_config *config, int *ret_err, char **ret_problem);

/* Ends streams and waits for handlers. */
struct http *http__free(struct http *http);

/* "http://127.0.0.1:8430", with the port that the system chose; "unix:/path". */
const char *http__url(const struct http *http);

/* ---- for handlers */

/* A query parameter, decoded; NULL: not given. */
const char *http__parameter(struct http_request *request, const char *name);
/* A header of the request. */
const char *http__header(struct http_request *request, const char *name);
struct str http__body(struct http_request *request);
/* A header of the answer; a second one of the name replaces the first. */
void http__set_header(struct http_request *request, const char *name, const char *value);

/*
 * The body comes piece by piece: `next` writes some to `out` and returns 0, or -EAGAIN: nothing
 * now, call again soon; other negative errno: the end. `end` frees `ctx`, always.
 */
void http__stream(struct http_request *request, int (*next)(void *ctx, FILE *out),
		  void (*end)(void *ctx), void *ctx);

#endif
