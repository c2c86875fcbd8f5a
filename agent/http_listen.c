/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "agent/http.h"

#define BACKLOG 64

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};

__attribute__((format(printf, 3, 4))) static int fail(char **ret_problem, int err,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(ret_problem, format, args) < 0)
		*ret_problem = NULL;
	va_end(args);
	return err;
}

/* "HOST:PORT", "[HOST]:PORT" or "PORT"; the length of the address. 0: it is none. */
static socklen_t parse(const char *text, union address *ret)
{
	const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
	size_t len = colon ? (size_t)(colon - text) : 0;
	char host[64], *end;
	unsigned long number = strtoul(port, &end, 10);

	memset(ret, 0, sizeof(*ret));
	if (*end || end == port || number > UINT16_MAX || len >= sizeof(host))
		return 0;
	snprintf(host, sizeof(host), "%.*s", (int)len, text);
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons((uint16_t)number);
		return inet_pton(AF_INET6, host + 1, &ret->v6.sin6_addr) == 1 ? sizeof(ret->v6) : 0;
	}
	if (!colon || !strcmp(host, "localhost"))
		strcpy(host, "127.0.0.1");
	ret->v4.sin_family = AF_INET;
	ret->v4.sin_port = htons((uint16_t)number);
	return inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1 ? sizeof(ret->v4) : 0;
}

static bool is_loopback(const union address *address)
{
	if (address->any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
	return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
}

static void make_url(struct http_socket *s)
{
	union address address;
	socklen_t len = sizeof(address);
	char host[INET6_ADDRSTRLEN];

	getsockname(s->fd, &address.any, &len);
	if (address.any.sa_family == AF_INET6)
		snprintf(s->url, sizeof(s->url), "http://[%s]:%u",
			 inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof(host)),
			 ntohs(address.v6.sin6_port));
	else
		snprintf(s->url, sizeof(s->url), "http://%s:%u",
			 inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof(host)),
			 ntohs(address.v4.sin_port));
}

static int bind_and_listen(struct http_socket *s, const union address *address, socklen_t len)
{
	int one = 1;

	s->fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	if (!s->is_unix)
		setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s->fd, &address->any, len) || listen(s->fd, BACKLOG))
		return -errno;
	return 0;
}

/* A socket file of a process that died is in the way of its successor. */
static int open_unix(const char *path, struct http_socket *s)
{
	union address address = { .un.sun_family = AF_UNIX };
	mode_t mask;
	int err;

	if (strlen(path) >= sizeof(s->path) || !*path)
		return -ENAMETOOLONG;
	strcpy(s->path, path);
	strcpy(address.un.sun_path, path);
	s->is_unix = true;
	unlink(path);
	mask = umask(0177);
	err = bind_and_listen(s, &address, sizeof(address.un));
	umask(mask);
	snprintf(s->url, sizeof(s->url), "unix:%s", path);
	return err;
}

int http_listen__check(const char *listen_at, bool has_token, char **ret_problem)
{
	union address address;

	if (!strncmp(listen_at, "unix:", 5))
		return 0;
	if (!parse(listen_at, &address))
		return fail(ret_problem, -EINVAL,
			    "'%s' is no address: give 127.0.0.1:8430, [::1]:8430 or 8430",
			    listen_at);
	if (!is_loopback(&address) && !has_token)
		return fail(ret_problem, -EINVAL,
			    "%s is beyond loopback: give --listen-token-file, or 127.0.0.1",
			    listen_at);
	return 0;
}

int http_listen__open(const char *listen_at, bool has_token, struct http_socket *s,
		      char **ret_problem)
{
	union address address;
	socklen_t len;
	int err;

	*s = (struct http_socket){ .fd = -1 };
	err = http_listen__check(listen_at, has_token, ret_problem);
	if (err)
		return err;
	if (!strncmp(listen_at, "unix:", 5)) {
		err = open_unix(listen_at + 5, s);
	} else {
		len = parse(listen_at, &address);
		s->loopback = is_loopback(&address);
		err = bind_and_listen(s, &address, len);
		if (!err)
			make_url(s);
	}
	if (!err)
		return 0;
	fail(ret_problem, err, "cannot listen on %s: %s", listen_at, strerror(-err));
	http_listen__close(s);
	return err;
}

void http_listen__close(struct http_socket *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	if (*s->path)
		unlink(s->path);
	*s->path = '\0';
}
