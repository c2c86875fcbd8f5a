/* SPDX-License-Identifier: Apache-2.0 */
/* A request's headers, one a line. Nobody is let in who does not send the token, whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "agent/http_guard.h"

#define TOKEN "k7Qm-2fX9.token"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next line of the text, or NULL: not sent. */
static const char *next(char **text)
{
	return strsep(text, "\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct http_guard loopback = { .token = TOKEN, .loopback = true };
	char *copy = malloc(size + 1), *text = copy;
	struct http_headers headers = { 0 };

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	copy[size] = '\0';
	headers.host = next(&text);
	headers.authorization = next(&text);
	headers.cookie = next(&text);
	headers.origin = next(&text);
	headers.site = next(&text);
	headers.mode = next(&text);
	if (!http_guard__token(&loopback, &headers) &&
	    !(headers.authorization && strstr(headers.authorization, TOKEN)) &&
	    !(headers.cookie && strstr(headers.cookie, HTTP_COOKIE "=" TOKEN)))
		abort();
	if (!http_guard__origin(&loopback, &headers) &&
	    (!headers.host || !*headers.host || !strchr("lL1[", *headers.host)))
		abort();
	free(copy);
	return 0;
}
