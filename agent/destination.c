/* SPDX-License-Identifier: Apache-2.0 */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "agent/destination.h"

/* Longer than any real credential; bounds what a broken mount can make us read. */
#define HEADER_VALUE_MAX 16384

void destination__init(struct destination *destination)
{
	*destination = (struct destination){
		.compression = COMPRESSION_GZIP,
		.timeout_ms = 10000,
	};
	destination__set_retry_codes(destination, DESTINATION_RETRY_CODES);
}

void destination__clear(struct destination *destination)
{
	for (size_t i = 0; i < destination->header_count; i++) {
		free(destination->headers[i].name);
		secret__free(destination->headers[i].value);
	}
	free(destination->endpoint);
	free(destination->ca_file);
	free(destination->client_cert_file);
	free(destination->client_key_file);
	free(destination->proxy);
	destination__init(destination);
}

static int copy_text(char **ret, const char *from)
{
	*ret = from ? strdup(from) : NULL;
	return from && !*ret ? -ENOMEM : 0;
}

int destination__copy(struct destination *ret, const struct destination *from)
{
	int err = 0;

	*ret = (struct destination){
		.compression = from->compression,
		.timeout_ms = from->timeout_ms,
		.max_body_bytes = from->max_body_bytes,
		.drop_before_ns = from->drop_before_ns,
		.enabled = from->enabled,
	};
	memcpy(ret->retry_codes, from->retry_codes, sizeof(ret->retry_codes));
	err |= copy_text(&ret->endpoint, from->endpoint);
	err |= copy_text(&ret->ca_file, from->ca_file);
	err |= copy_text(&ret->client_cert_file, from->client_cert_file);
	err |= copy_text(&ret->client_key_file, from->client_key_file);
	err |= copy_text(&ret->proxy, from->proxy);
	for (size_t i = 0; i < from->header_count && !err; i++)
		err = destination__add_header(ret, from->headers[i].name,
					      secret__text(from->headers[i].value),
					      secret__len(from->headers[i].value));
	if (err)
		destination__clear(ret);
	return err ? -ENOMEM : 0;
}

static bool text_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool destination__equal(const struct destination *a, const struct destination *b)
{
	if (!text_equal(a->endpoint, b->endpoint) || a->header_count != b->header_count ||
	    a->compression != b->compression || a->timeout_ms != b->timeout_ms ||
	    a->max_body_bytes != b->max_body_bytes || a->enabled != b->enabled ||
	    a->drop_before_ns != b->drop_before_ns || !text_equal(a->ca_file, b->ca_file) ||
	    !text_equal(a->client_cert_file, b->client_cert_file) ||
	    !text_equal(a->client_key_file, b->client_key_file) ||
	    !text_equal(a->proxy, b->proxy) ||
	    memcmp(a->retry_codes, b->retry_codes, sizeof(a->retry_codes)) != 0)
		return false;
	for (size_t i = 0; i < a->header_count; i++)
		if (!text_equal(a->headers[i].name, b->headers[i].name) ||
		    !secret__equal(a->headers[i].value, b->headers[i].value))
			return false;
	return true;
}

/* RFC 9110, 5.6.2: token. */
static bool is_token(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
			    *text))
			return false;
	return true;
}

/* RFC 9110, 5.5: a line end in a value would smuggle in another header. */
static bool is_field_value(const char *value, size_t len)
{
	if (len > HEADER_VALUE_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f)
			return false;
	return true;
}

int destination__add_header(struct destination *destination, const char *name, const char *value,
			    size_t value_len)
{
	struct destination_header header;

	if (!is_token(name) || !is_field_value(value, value_len))
		return -EINVAL;
	if (destination->header_count == DESTINATION_HEADERS_MAX)
		return -E2BIG;
	header.name = strdup(name);
	header.value = secret__new(value, value_len);
	if (!header.name || !header.value) {
		free(header.name);
		secret__free(header.value);
		return -ENOMEM;
	}
	destination->headers[destination->header_count++] = header;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; a '%' that begins no code stays as it is, as receivers' documents show values. */
static size_t percent_decode(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		int high = *from == '%' ? hex_digit(from[1]) : -1;
		int low = high >= 0 ? hex_digit(from[2]) : -1;

		if (low >= 0) {
			*to++ = (char)(high << 4 | low);
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return (size_t)(to - text);
}

static char *trim(char *text)
{
	char *end;

	text += strspn(text, " \t");
	end = text + strlen(text);
	while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	return text;
}

/* One member of a W3C baggage list: key=value;properties. The properties mean nothing here. */
static int add_member(struct destination *destination, char *member)
{
	char *equals, *name;

	member = trim(member);
	if (!*member)
		return 0;
	equals = strchr(member, '=');
	if (!equals)
		return -EINVAL;
	*equals = '\0';
	name = trim(member);
	percent_decode(name);
	equals = trim(equals + 1);
	return destination__add_header(destination, name, equals, percent_decode(equals));
}

int destination__add_header_list(struct destination *destination, const char *list)
{
	size_t size = strlen(list) + 1;
	char *copy = malloc(size), *rest = copy, *member;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, list, size);
	while (!err && (member = strsep(&rest, ",")))
		err = add_member(destination, member);
	secret__wipe(copy, size);
	free(copy);
	return err;
}

static const char *url_problem(CURLU *url, const char *endpoint)
{
	char *part = NULL;
	const char *problem = NULL;

	if (curl_url_set(url, CURLUPART_URL, endpoint, 0) != CURLUE_OK)
		return "is no URL; give the full one, as in https://collector.example:4318/v1/logs";
	if (curl_url_get(url, CURLUPART_SCHEME, &part, 0) != CURLUE_OK ||
	    (strcmp(part, "http") != 0 && strcmp(part, "https") != 0))
		problem = "must begin with http:// or https://";
	curl_free(part);
	part = NULL;
	if (!problem && curl_url_get(url, CURLUPART_USER, &part, 0) == CURLUE_OK)
		problem = "must not hold a user or password; give them as a header";
	curl_free(part);
	return problem;
}

const char *destination__endpoint_problem(const char *endpoint)
{
	CURLU *url = curl_url();
	const char *problem;

	if (!url)
		return "cannot be checked: out of memory";
	problem = url_problem(url, endpoint);
	curl_url_cleanup(url);
	return problem;
}
