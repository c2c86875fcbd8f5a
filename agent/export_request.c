/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/export_request.h"

#define CONNECT_TIMEOUT_MS 10000L
#define HIDDEN_MIN 6 /* letters: a shorter value is a word that may stand anywhere */

static struct curl_slist *append(struct curl_slist *list, const char *line)
{
	struct curl_slist *grown = list ? curl_slist_append(list, line) : NULL;

	if (!grown)
		export__headers_free(list);
	return grown;
}

static struct curl_slist *append_header(struct curl_slist *list, const char *name,
					const char *value)
{
	char *line;
	/* curl leaves a header without a value out, unless it ends in a semicolon. */
	int len = *value ? asprintf(&line, "%s: %s", name, value) : asprintf(&line, "%s;", name);

	if (len < 0) {
		export__headers_free(list);
		return NULL;
	}
	list = append(list, line);
	secret__wipe(line, (size_t)len);
	free(line);
	return list;
}

struct curl_slist *export__headers(const struct destination *destination,
				   enum compression compression)
{
	struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/x-protobuf");

	/* Without this curl waits up to a second for "100 Continue" before a large body. */
	list = append(list, "Expect:");
	if (compression != COMPRESSION_NONE)
		list = append_header(list, "Content-Encoding", compression_name(compression));
	for (size_t i = 0; i < destination->header_count && list; i++)
		list = append_header(list, destination->headers[i].name,
				     secret__text(destination->headers[i].value));
	return list;
}

void export__headers_free(struct curl_slist *headers)
{
	for (struct curl_slist *line = headers; line; line = line->next)
		secret__wipe(line->data, strlen(line->data));
	curl_slist_free_all(headers);
}

static void hide(char *text, const char *value)
{
	size_t len = strlen(value), text_len = strlen(text);

	if (len < HIDDEN_MIN)
		return;
	for (char *at = text; (at = strstr(at, value)); at += len)
		memset(at, '*', len);
	for (size_t cut = len - 1; cut >= HIDDEN_MIN; cut--)
		if (cut <= text_len && !memcmp(text + text_len - cut, value, cut))
			memset(text + text_len - cut, '*', cut);
}

void export__hide(const struct curl_slist *headers, char *text)
{
	for (; headers; headers = headers->next) {
		const char *value = strstr(headers->data, ": "), *word;

		if (!value || !strncmp(headers->data, "Content-", 8))
			continue;
		hide(text, value + 2);
		word = strrchr(value + 2, ' '); /* "Basic …", "ApiKey …" */
		if (word)
			hide(text, word + 1);
	}
}

void export__set_options(CURL *easy, const struct destination *destination,
			 struct curl_slist *headers, const uint8_t *data, size_t len)
{
	curl_easy_setopt(easy, CURLOPT_URL, destination->endpoint);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, data);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_USERAGENT,
			 "reqtap/" REQTAP_VERSION " OTel-OTLP-Exporter-C/" REQTAP_VERSION);
	/* A redirect would take the credential to another host. */
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)destination->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (destination->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, destination->ca_file);
	if (destination->client_cert_file)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, destination->client_cert_file);
	if (destination->client_key_file)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, destination->client_key_file);
	if (destination->proxy)
		curl_easy_setopt(easy, CURLOPT_PROXY, destination->proxy);
}
