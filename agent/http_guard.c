/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http_guard.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* "localhost:8430" without its port; an IPv6 address keeps its brackets. */
static size_t host_length(const char *host)
{
	const char *end = *host == '[' ? strchr(host, ']') : NULL;

	return end ? (size_t)(end + 1 - host) : strcspn(host, ":");
}

static bool names_loopback(const char *host)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };
	size_t len = host_length(host);

	if (host[len] && host[len] != ':')
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == len && !strncasecmp(host, names[i], len))
			return true;
	return false;
}

/* "http://HOST" of the host itself; a proxy in front may speak https. */
static bool same_origin(const char *origin, const char *host)
{
	const char *rest = strstr(origin, "://");

	return rest && host && !strcasecmp(rest + 3, host);
}

int http_guard__origin(const struct http_guard *guard, const struct http_headers *headers)
{
	if (guard->is_unix)
		return 0;
	if (guard->loopback && (!headers->host || !names_loopback(headers->host)))
		return -EACCES;
	if (headers->origin && !same_origin(headers->origin, headers->host))
		return -EACCES;
	/* a link from elsewhere may open the page; nothing else may be fetched from elsewhere */
	if (headers->site && strcmp(headers->site, "same-origin") != 0 &&
	    strcmp(headers->site, "none") != 0 &&
	    (!headers->mode || strcmp(headers->mode, "navigate") != 0))
		return -EACCES;
	return 0;
}

bool http_guard__equal(const char *token, const char *given, size_t len)
{
	size_t want = strlen(token);
	unsigned differ = want != len;

	for (size_t i = 0; i < len; i++)
		differ |= (unsigned char)given[i] ^ (unsigned char)token[i % (want ? want : 1)];
	return !differ;
}

/* The cookie's value among others; NULL: not there. */
static const char *find_cookie(const char *cookies, size_t *ret_len)
{
	size_t name = strlen(HTTP_COOKIE);

	for (const char *at = cookies; *at;) {
		at += strspn(at, "; ");
		*ret_len = strcspn(at, ";");
		if (*ret_len > name && !strncmp(at, HTTP_COOKIE "=", name + 1)) {
			*ret_len -= name + 1;
			return at + name + 1;
		}
		at += *ret_len;
	}
	return NULL;
}

int http_guard__token(const struct http_guard *guard, const struct http_headers *headers)
{
	const char *given = headers->authorization, *cookie;
	size_t len;

	if (!guard->token || guard->is_unix)
		return 0;
	if (given && !strncasecmp(given, "Bearer ", 7) &&
	    http_guard__equal(guard->token, given + 7, strlen(given + 7)))
		return 0;
	cookie = headers->cookie ? find_cookie(headers->cookie, &len) : NULL;
	if (cookie && http_guard__equal(guard->token, cookie, len))
		return 0;
	return -EACCES;
}
