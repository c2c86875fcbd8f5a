/* SPDX-License-Identifier: Apache-2.0 */
/* http_listen: the address as the user gives it, to a listening socket. */
#ifndef REQTAP_HTTP_LISTEN_H
#define REQTAP_HTTP_LISTEN_H

#include <stdbool.h>

struct http_socket {
	int fd; /* -1: none */
	bool loopback, is_unix;
	char url[160];
	char path[108]; /* of the UNIX socket, removed at the end */
};

/* -EINVAL with *ret_problem: it is no address, or one that needs a token and has none. */
int http_listen__check(const char *listen, bool has_token, char **ret_problem);

/* "127.0.0.1:8430", "[::1]:0", "8430" (of loopback) or "unix:/path". An address beyond loopback
 * needs a token. 0; negative errno with *ret_problem (one line, the caller frees): -EINVAL: not
 * right. */
int http_listen__open(const char *listen, bool has_token, struct http_socket *ret,
		      char **ret_problem);
void http_listen__close(struct http_socket *socket);

#endif
