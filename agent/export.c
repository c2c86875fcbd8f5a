/* SPDX-License-Identifier: Apache-2.0 */
#include <curl/curl.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include "agent/export.h"
#include "agent/export_request.h"
#include "agent/loop.h"
#include "agent/otlp.h"

/* "OTLP/HTTP Response": a client must bound what it reads; beyond, the request is refused. */
#define RESPONSE_MAX (4u << 20)
#define PROXY_REFUSED 407 /* no receiver's answer, so no verdict: RFC 9110, 15.5.8 */
/* How long a 401 or 403 waits for a new credential: the old one may be gone before the new one
 * has arrived here. Longer than connection.c takes to see a change. */
#define CREDENTIAL_GRACE_NS 1500000000ULL

struct request {
	struct export *export;
	struct request *next;
	CURL *easy;
	struct curl_slist *headers;
	uint8_t *response;
	size_t response_len;
	bool response_too_large;
	uint64_t ticket;
	uint64_t started_ns;
	uint64_t generation; /* of the destination that it was sent to */
	uint64_t held_ns;    /* refused for its credential; the verdict is due then. 0: not held */
	long status;
	char error[CURL_ERROR_SIZE];
	char reason[256];
};

struct export
{
	struct loop *loop;
	struct destination destination;
	export_fn fn;
	void *ctx;
	CURLM *multi;
	struct loop_timer *curl_timer;
	struct loop_timer *hold_timer;
	struct request *requests;
	unsigned in_flight;
	unsigned failures; /* in a row */
	uint64_t failed_ns;
	uint64_t ready_ns;
	uint64_t generation;
	uint64_t bad_generation; /* its credential was refused, grace and all */
	struct export_stats stats;
};

static struct request *request__free(struct request *request)
{
	struct request **link;

	for (link = &request->export->requests; *link; link = &(*link)->next)
		if (*link == request) {
			*link = request->next;
			request->export->in_flight--;
			break;
		}
	if (request->easy) {
		curl_multi_remove_handle(request->export->multi, request->easy);
		curl_easy_cleanup(request->easy);
	}
	export__headers_free(request->headers);
	free(request->response);
	free(request);
	return NULL;
}

static bool is_retry_code(const struct export *export, long status)
{
	const uint16_t *codes = export->destination.retry_codes;

	for (int i = 0; i < DESTINATION_RETRY_CODES_MAX && codes[i]; i++)
		if (codes[i] == status)
			return true;
	return false;
}

static void back_off(struct export *export, struct request *request)
{
	struct curl_header *header;
	uint64_t wait_ns = 0;

	if (curl_easy_header(request->easy, "Retry-After", 0, CURLH_HEADER, -1, &header) ==
	    CURLHE_OK)
		wait_ns = export__retry_after_ns(header->value, (int64_t)time(NULL));
	if (!wait_ns)
		wait_ns = export__backoff_ns(export->failures, randombytes_random());
	/* Several in flight that fail together are one failure. */
	if (request->started_ns >= export->failed_ns && export->failures < 64)
		export->failures++;
	export->failed_ns = loop__now(export->loop);
	if (loop__now(export->loop) + wait_ns > export->ready_ns)
		export->ready_ns = loop__now(export->loop) + wait_ns;
}

static void note_failure(struct export *export, const struct request *request)
{
	export->stats.last_status = request->status;
	memcpy(export->stats.last_reason, request->reason, sizeof(request->reason));
}

static void finish(struct request *request, enum export_verdict verdict, uint64_t rejected)
{
	struct export *export = request->export;
	struct export_result result = {
		.ticket = request->ticket,
		.verdict = verdict,
		.rejected = rejected,
		.status = request->status,
		.latency_ns = loop__now(export->loop) - request->started_ns,
	};
	char reason[sizeof(request->reason)];

	export__hide(request->headers, request->reason);
	memcpy(reason, request->reason, sizeof(reason));
	result.reason = reason;
	export->stats.accepted += verdict == EXPORT_ACCEPTED;
	export->stats.refused += verdict == EXPORT_REFUSED;
	export->stats.retried += verdict == EXPORT_RETRY;
	export->stats.too_large += verdict == EXPORT_TOO_LARGE;
	export->stats.rejected_records += rejected;
	if (verdict != EXPORT_ACCEPTED || rejected)
		note_failure(export, request);
	if (verdict == EXPORT_RETRY)
		back_off(export, request);
	request__free(request);
	export->fn(export->ctx, &result);
}

static void accepted(struct request *request)
{
	struct otlp_answer answer = { 0 };

	request->export->failures = 0;
	request->export->ready_ns = 0;
	request->export->bad_generation = 0;
	/* A 200 with a body that is no OTLP answer is still a 200. */
	if (request->response_len)
		otlp__decode_response(request->response, request->response_len, &answer);
	memcpy(request->reason, answer.message, sizeof(answer.message));
	finish(request, EXPORT_ACCEPTED, answer.rejected);
}

/* The receiver's words: a google.rpc.Status where it sends one, else text. */
static void explain(struct request *request)
{
	struct otlp_answer answer = { 0 };
	char *type = NULL;

	curl_easy_getinfo(request->easy, CURLINFO_CONTENT_TYPE, &type);
	if (type && strncmp(type, "application/x-protobuf", 22) == 0)
		otlp__decode_status(request->response, request->response_len, &answer);
	else
		otlp__clean_text(answer.message, sizeof(answer.message),
				 (const char *)request->response, request->response_len);
	memcpy(request->reason, answer.message, sizeof(answer.message));
}

/* A verdict about a credential waits a moment for the next one: see CREDENTIAL_GRACE_NS. */
static void credential_refused(struct request *request)
{
	struct export *export = request->export;

	if (request->generation != export->generation) {
		finish(request, EXPORT_RETRY, 0);
	} else if (export->bad_generation == export->generation) {
		finish(request, EXPORT_REFUSED, 0);
	} else {
		export__hide(request->headers, request->reason);
		note_failure(export, request);
		request->held_ns = loop__now(export->loop) + CREDENTIAL_GRACE_NS;
		loop_timer__set(export->hold_timer, loop__now(export->loop));
	}
}

static void answered(struct request *request)
{
	struct export *export = request->export;

	if (request->status >= 200 && request->status < 300) {
		accepted(request);
		return;
	}
	explain(request);
	if (request->status == PROXY_REFUSED) /* whose words are a page of HTML */
		snprintf(request->reason, sizeof(request->reason),
			 "the proxy wants a user and password, or others");
	if (request->status == 413)
		finish(request, EXPORT_TOO_LARGE, 0);
	else if (request->status == PROXY_REFUSED || is_retry_code(export, request->status))
		finish(request, EXPORT_RETRY, 0);
	else if (request->status == 401 || request->status == 403)
		credential_refused(request);
	else
		finish(request, EXPORT_REFUSED, 0);
}

static void completed(struct request *request, CURLcode code)
{
	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &request->status);
	if (request->response_too_large) {
		snprintf(request->reason, sizeof(request->reason), "its answer exceeds %u bytes",
			 RESPONSE_MAX);
		finish(request, EXPORT_REFUSED, 0);
	} else if (code != CURLE_OK) {
		const char *text = *request->error ? request->error : curl_easy_strerror(code);

		/* Without an answer: what came of one, as a 200 cut short, is none. */
		request->status = 0;
		otlp__clean_text(request->reason, sizeof(request->reason), text, strlen(text));
		finish(request, EXPORT_RETRY, 0);
	} else {
		answered(request);
	}
}

static void collect(struct export *export)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(export->multi, &left))) {
		struct request *request;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
		completed(request, code);
	}
}

static void hold_ended(void *ctx, uint64_t now_ns)
{
	struct export *export = ctx;
	struct request *request = export->requests;
	uint64_t next_ns = UINT64_MAX;

	while (request) {
		struct request *next = request->next;
		bool replaced = request->generation != export->generation;

		if (request->held_ns && !replaced && now_ns < request->held_ns) {
			if (request->held_ns < next_ns)
				next_ns = request->held_ns;
		} else if (request->held_ns) {
			if (!replaced)
				export->bad_generation = export->generation;
			else
				export->failures = 0;
			finish(request, replaced ? EXPORT_RETRY : EXPORT_REFUSED, 0);
			/* The callback may have posted, or freed others of the list: anew. */
			loop_timer__set(export->hold_timer, now_ns);
			return;
		}
		request = next;
	}
	loop_timer__set(export->hold_timer, next_ns);
}

static void act(struct export *export, curl_socket_t fd, int mask)
{
	int running;

	curl_multi_socket_action(export->multi, fd, mask, &running);
	collect(export);
	secret__wipe_registers();
}

static void socket_ready(void *ctx, int fd, uint32_t events)
{
	struct export *export = ctx;
	int mask = 0;

	if (events & (EPOLLIN | EPOLLHUP))
		mask |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (events & EPOLLERR)
		mask |= CURL_CSELECT_ERR;
	act(export, fd, mask);
}

static int socket_changed(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct export *export = ctx;
	uint32_t events = 0;

	if (what == CURL_POLL_REMOVE) {
		loop__unwatch(export->loop, fd);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	return loop__watch(export->loop, fd, events, socket_ready, export);
}

static void curl_timer_expired(void *ctx, uint64_t now_ns)
{
	struct export *export = ctx;

	act(export, CURL_SOCKET_TIMEOUT, 0);
}

static int curl_timer_changed(CURLM *multi, long timeout_ms, void *ctx)
{
	struct export *export = ctx;
	uint64_t at_ns = loop__now(export->loop) + (uint64_t)timeout_ms * 1000000;

	loop_timer__set(export->curl_timer, timeout_ms < 0 ? UINT64_MAX : at_ns);
	return 0;
}

static size_t receive(char *data, size_t size, size_t count, void *ctx)
{
	struct request *request = ctx;
	size_t len = size * count;
	uint8_t *grown;

	if (request->response_len + len > RESPONSE_MAX) {
		request->response_too_large = true;
		return 0;
	}
	grown = realloc(request->response, request->response_len + len);
	if (!grown)
		return 0;
	memcpy(grown + request->response_len, data, len);
	request->response = grown;
	request->response_len += len;
	return len;
}

struct export *export__new(struct loop *loop, const struct destination *destination, export_fn fn,
			   void *ctx)
{
	struct export *export = calloc(1, sizeof(*export));

	if (!export)
		return NULL;
	export->loop = loop;
	export->fn = fn;
	export->ctx = ctx;
	export->curl_timer = loop_timer__new(loop, curl_timer_expired, export);
	export->hold_timer = loop_timer__new(loop, hold_ended, export);
	if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return export__free(export);
	export->multi = curl_multi_init();
	if (!export->multi || !export->curl_timer || !export->hold_timer ||
	    export__set_destination(export, destination) < 0)
		return export__free(export);
	curl_multi_setopt(export->multi, CURLMOPT_SOCKETFUNCTION, socket_changed);
	curl_multi_setopt(export->multi, CURLMOPT_SOCKETDATA, export);
	curl_multi_setopt(export->multi, CURLMOPT_TIMERFUNCTION, curl_timer_changed);
	curl_multi_setopt(export->multi, CURLMOPT_TIMERDATA, export);
	return export;
}

struct export *export__free(struct export *export)
{
	if (!export)
		return NULL;
	while (export->requests)
		request__free(export->requests);
	curl_multi_cleanup(export->multi);
	loop_timer__free(export->curl_timer);
	loop_timer__free(export->hold_timer);
	destination__clear(&export->destination);
	free(export);
	return NULL;
}

int export__set_destination(struct export *export, const struct destination *destination)
{
	struct destination copy;
	int err = destination__copy(&copy, destination);

	if (err)
		return err;
	destination__clear(&export->destination);
	export->destination = copy;
	export->generation++;
	export->failures = 0;
	export->ready_ns = 0;
	loop_timer__set(export->hold_timer, loop__now(export->loop));
	return 0;
}

int export__post(struct export *export, uint64_t ticket, const uint8_t *data, size_t len,
		 enum compression compression)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return -ENOMEM;
	request->export = export;
	request->ticket = ticket;
	request->started_ns = loop__now(export->loop);
	request->generation = export->generation;
	request->easy = curl_easy_init();
	request->headers = export__headers(&export->destination, compression);
	if (!request->easy || !request->headers) {
		request__free(request);
		return -ENOMEM;
	}
	export__set_options(request->easy, &export->destination, request->headers, data, len);
	curl_easy_setopt(request->easy, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(request->easy, CURLOPT_ERRORBUFFER, request->error);
	curl_easy_setopt(request->easy, CURLOPT_PRIVATE, request);
	request->next = export->requests;
	export->requests = request;
	export->in_flight++;
	export->stats.requests++;
	export->stats.bytes += len;
	curl_multi_add_handle(export->multi, request->easy);
	return 0;
}

uint64_t export__ready_ns(const struct export *export)
{
	return export->ready_ns;
}

bool export__failing(const struct export *export)
{
	return export->failures > 0;
}

unsigned export__in_flight(const struct export *export)
{
	return export->in_flight;
}

const struct export_stats *export__stats(const struct export *export)
{
	return &export->stats;
}
