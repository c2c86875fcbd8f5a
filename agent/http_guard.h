/* SPDX-License-Identifier: Apache-2.0 */
/* http_guard: who may ask. Pure: headers in, an answer out. */
#ifndef REQTAP_HTTP_GUARD_H
#define REQTAP_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_COOKIE "reqtap_token"

struct http_guard {
	const char *token; /* NULL: none is needed */
	bool loopback;     /* the socket's address */
	bool is_unix;      /* the file's mode is the guard */
};

/* NULL: not sent. */
struct http_headers {
	const char *host, *origin, *site, *mode, *authorization, *cookie;
};

/*
 * 0, or -EACCES: the request comes from another origin's page, or, on loopback, names a host that
 * is not this machine (a name that an attacker lets point here).
 */
int http_guard__origin(const struct http_guard *guard, const struct http_headers *headers);

/* 0, or -EACCES: a token is needed and was not sent, as a Bearer or as the cookie. */
int http_guard__token(const struct http_guard *guard, const struct http_headers *headers);

/* In a time that does not tell how much of it was right. */
bool http_guard__equal(const char *token, const char *given, size_t len);

#endif
