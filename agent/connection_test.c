/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "agent/connection_test.h"
#include "agent/export_request.h"
#include "agent/otlp.h"

#define ANSWER_MAX (4u << 20)

struct answer {
	uint8_t *data;
	size_t len;
};

static size_t receive(char *data, size_t size, size_t count, void *ctx)
{
	struct answer *answer = ctx;
	size_t len = size * count;
	uint8_t *grown;

	if (answer->len + len > ANSWER_MAX)
		return 0;
	grown = realloc(answer->data, answer->len + len);
	if (!grown)
		return 0;
	memcpy(grown + answer->len, data, len);
	answer->data = grown;
	answer->len += len;
	return len;
}

static int encode_probe(struct otlp *otlp)
{
	static const struct replica nobody;
	struct timespec ts;
	struct record record = {
		.severity = SEVERITY_INFO,
		.body = STR("reqtap: connection test"),
		.message = STR("reqtap: connection test"),
		.replica = &nobody,
	};

	clock_gettime(CLOCK_REALTIME, &ts);
	record.time_ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	record.observed_ns = record.time_ns;
	return otlp__record(otlp, &record);
}

static const char *advice(long status)
{
	switch (status) {
	case 401:
	case 403:
		return "check the header's name and value, and that the endpoint is of the same "
		       "region";
	case 404:
	case 405:
		return "check the endpoint's path: it is used as it is, usually it ends in "
		       "/v1/logs";
	case 407:
		return "the proxy wants a user and password, or others, in its URL";
	case 413:
		return "it does not even take one record: this is no logs receiver, or a proxy's "
		       "limit";
	case 415:
		return "it wants another encoding: try --compression none";
	case 429:
		return "it limits the rate; records would be sent later";
	default:
		return status >= 500 ? "the receiver itself is in trouble; records would wait"
		       : status >= 300 && status < 400 ? "it sends elsewhere, which is not "
							 "followed: set that endpoint instead"
						       : "see the receiver's documentation";
	}
}

static const char *trouble(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return "unreachable: the host's name is not known";
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_PROXY:
		return "unreachable: the proxy";
	case CURLE_COULDNT_CONNECT:
		return "unreachable: nothing answers at that host and port";
	case CURLE_OPERATION_TIMEDOUT:
		return "unreachable: no answer in time";
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return "TLS trouble: its certificate is not trusted here (see --ca)";
	case CURLE_SSL_CERTPROBLEM:
		return "TLS trouble: the client certificate";
	case CURLE_SSL_CONNECT_ERROR:
		return "TLS trouble: no handshake";
	default:
		return "unreachable";
	}
}

static bool judge(CURL *easy, const struct answer *answer, const struct curl_slist *headers,
		  char *ret, size_t size)
{
	struct otlp_answer said = { 0 };
	const char *type = NULL;
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
	if (status >= 200 && status < 300) {
		otlp__decode_response(answer->data, answer->len, &said);
		export__hide(headers, said.message);
		if (said.rejected)
			snprintf(ret, size,
				 "refused: it took the request and rejected the record: %s",
				 said.message);
		else
			snprintf(ret, size, "accepted (%ld)", status);
		return !said.rejected;
	}
	if (type && strncmp(type, "application/x-protobuf", 22) == 0)
		otlp__decode_status(answer->data, answer->len, &said);
	else
		otlp__clean_text(said.message, sizeof(said.message), (const char *)answer->data,
				 answer->len);
	export__hide(headers, said.message);
	snprintf(ret, size, "refused (%ld)%s%s; %s", status, *said.message ? ": " : "",
		 said.message, advice(status));
	return false;
}

static bool perform(CURL *easy, const struct destination *destination, struct otlp *otlp, char *ret,
		    size_t size)
{
	struct compressor *compressor = compressor__new();
	struct curl_slist *headers = export__headers(destination, destination->compression);
	struct answer answer = { 0 };
	const uint8_t *raw, *data;
	size_t raw_len, len;
	bool accepted = false;

	otlp__finish(otlp, &raw, &raw_len);
	if (compressor && headers &&
	    compressor__run(compressor, destination->compression, raw, raw_len, &data, &len) == 0) {
		char error[CURL_ERROR_SIZE] = "";
		CURLcode code;

		export__set_options(easy, destination, headers, data, len);
		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
		curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
		curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
		code = curl_easy_perform(easy);
		if (code == CURLE_OK)
			accepted = judge(easy, &answer, headers, ret, size);
		else
			snprintf(ret, size, "%s (%s)", trouble(code),
				 *error ? error : curl_easy_strerror(code));
	}
	free(answer.data);
	export__headers_free(headers);
	compressor__free(compressor);
	return accepted;
}

bool connection__test(const struct destination *destination, char *ret, size_t size)
{
	CURL *easy = curl_easy_init();
	struct otlp *otlp = otlp__new("baseten");
	bool accepted = false;

	snprintf(ret, size, "not tried: out of memory");
	if (easy && otlp && encode_probe(otlp) == 0)
		accepted = perform(easy, destination, otlp, ret, size);
	otlp__free(otlp);
	curl_easy_cleanup(easy);
	return accepted;
}
