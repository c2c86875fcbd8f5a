/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kube_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include "agent/export.h"

#define TOKEN_MAX (64 * 1024)

struct kube_request {
	struct kube_http *http;
	struct kube_request *next;
	struct kube_request_config config;
	CURL *easy;
	struct curl_slist *headers;
	char *data; /* the body, or of a stream the line that is not whole yet */
	size_t len, capacity;
	bool passing_over; /* a line that is too long, to its end */
	bool in_line;      /* within config.line(): not to be freed under its feet */
	bool cancelled;
	char error[CURL_ERROR_SIZE];
};

struct kube_http {
	struct loop *loop;
	struct loop_timer *timer;
	CURLM *multi;
	char *base, *token_file, *ca_file;
	bool insecure;
	struct kube_request *requests;
	uint64_t long_lines;
};

int kube_http__in_cluster(char *ret_base, size_t size)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port;
	bool v6 = host && strchr(host, ':');

	port = getenv("KUBERNETES_SERVICE_PORT");
	if (!host || !*host)
		return -ENOENT;
	if ((size_t)snprintf(ret_base, size, "https://%s%s%s:%s", v6 ? "[" : "", host,
			     v6 ? "]" : "", port && *port ? port : "443") >= size)
		return -ENAMETOOLONG;
	return 0;
}

static void request_free(struct kube_request *request)
{
	struct kube_request **link;

	for (link = &request->http->requests; *link; link = &(*link)->next)
		if (*link == request) {
			*link = request->next;
			break;
		}
	if (request->easy) {
		curl_multi_remove_handle(request->http->multi, request->easy);
		curl_easy_cleanup(request->easy);
	}
	for (struct curl_slist *header = request->headers; header; header = header->next)
		sodium_memzero(header->data, strlen(header->data)); /* the token is in one */
	curl_slist_free_all(request->headers);
	free(request->data);
	free(request);
}

static int keep(struct kube_request *request, const char *data, size_t len)
{
	size_t want = request->len + len + 1, capacity = request->capacity;

	while (capacity < want)
		capacity = capacity ? 2 * capacity : 4096;
	if (capacity != request->capacity) {
		char *grown = realloc(request->data, capacity);

		if (!grown)
			return -ENOMEM;
		request->data = grown;
		request->capacity = capacity;
	}
	memcpy(request->data + request->len, data, len);
	request->len += len;
	return 0;
}

/* A part of a line, its end included or not. */
static int take_part(struct kube_request *request, const char *data, size_t len, bool ends)
{
	if (!request->passing_over && request->len + len > KUBE_LINE_MAX) {
		request->passing_over = true;
		request->http->long_lines++;
		request->len = 0;
	}
	if (!request->passing_over && keep(request, data, len))
		return -ENOMEM;
	if (!ends)
		return 0;
	if (!request->passing_over && request->len) {
		request->in_line = true;
		request->config.line(request->config.ctx, request->data, request->len);
		request->in_line = false;
	}
	request->passing_over = false;
	request->len = 0;
	return request->cancelled ? -ECANCELED : 0;
}

static int take_lines(struct kube_request *request, const char *data, size_t len)
{
	int err = 0;

	while (len && !err) {
		const char *end = memchr(data, '\n', len);
		size_t part = end ? (size_t)(end - data) : len;

		err = take_part(request, data, part, end);
		data += part + (end != NULL);
		len -= part + (end != NULL);
	}
	return err;
}

/* Anything but `size` returned ends the transfer. */
static size_t on_data(char *data, size_t one, size_t size, void *ctx)
{
	struct kube_request *request = ctx;
	long status = 0;
	int err;

	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	if (request->config.line && status == 200)
		err = take_lines(request, data, size);
	else
		err = request->len + size > KUBE_ANSWER_MAX ? -E2BIG : keep(request, data, size);
	return err ? size + 1 : size;
}

static uint64_t retry_after(CURL *easy)
{
	struct curl_header *header;

	if (curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return 0;
	return export__retry_after_ns(header->value, (int64_t)time(NULL));
}

static void completed(struct kube_request *request, CURLcode code)
{
	struct kube_answer answer = { .data = request->data ? request->data : "", .error = "" };

	if (!request->cancelled) {
		curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &answer.status);
		answer.retry_after_ns = retry_after(request->easy);
		if (!request->config.line || answer.status != 200)
			answer.len = request->len;
		if (code != CURLE_OK)
			answer.error =
				request->error[0] ? request->error : curl_easy_strerror(code);
		request->config.done(request->config.ctx, &answer);
	}
	request_free(request);
}

static void collect(struct kube_http *http)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left))) {
		struct kube_request *request;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
		completed(request, code);
	}
}

static void on_socket(void *ctx, int fd, uint32_t events)
{
	struct kube_http *http = ctx;
	int mask = 0, running;

	mask |= events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0;
	mask |= events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
	mask |= events & EPOLLERR ? CURL_CSELECT_ERR : 0;
	curl_multi_socket_action(http->multi, fd, mask, &running);
	collect(http);
}

static int socket_changed(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct kube_http *http = ctx;
	uint32_t events = 0;

	if (what == CURL_POLL_REMOVE) {
		loop__unwatch(http->loop, fd);
		return 0;
	}
	events |= what & CURL_POLL_IN ? EPOLLIN : 0;
	events |= what & CURL_POLL_OUT ? EPOLLOUT : 0;
	return loop__watch(http->loop, fd, events, on_socket, http) < 0 ? -1 : 0;
}

static void on_timer(void *ctx, uint64_t now_ns)
{
	struct kube_http *http = ctx;
	int running;

	curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(http);
}

static int timer_changed(CURLM *multi, long timeout_ms, void *ctx)
{
	struct kube_http *http = ctx;

	loop_timer__set(http->timer,
			timeout_ms < 0 ? UINT64_MAX
				       : loop__now(http->loop) + (uint64_t)timeout_ms * 1000000);
	return 0;
}

struct kube_http *kube_http__new(struct loop *loop, const struct kube_http_config *config)
{
	struct kube_http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->loop = loop;
	http->insecure = config->insecure;
	http->base = strdup(config->base);
	http->token_file = config->token_file ? strdup(config->token_file) : NULL;
	http->ca_file = config->ca_file ? strdup(config->ca_file) : NULL;
	http->timer = loop_timer__new(loop, on_timer, http);
	http->multi = curl_multi_init();
	if (!http->base || !http->timer || !http->multi)
		return kube_http__free(http);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, socket_changed);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, timer_changed);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	return http;
}

struct kube_http *kube_http__free(struct kube_http *http)
{
	if (!http)
		return NULL;
	while (http->requests)
		request_free(http->requests);
	if (http->multi)
		curl_multi_cleanup(http->multi);
	loop_timer__free(http->timer);
	free(http->base);
	free(http->token_file);
	free(http->ca_file);
	free(http);
	return NULL;
}

/* A file that is gone or empty for a moment gives a request without a token, and that a 401. */
static int add_token(struct kube_request *request)
{
	static const char head[] = "Authorization: Bearer ";
	char *line = malloc(sizeof(head) + TOKEN_MAX);
	int fd = open(request->http->token_file, O_RDONLY | O_CLOEXEC);
	struct curl_slist *longer = request->headers;
	ssize_t len = fd >= 0 && line ? read(fd, line + sizeof(head) - 1, TOKEN_MAX) : -1;

	if (len > 0) {
		memcpy(line, head, sizeof(head) - 1);
		line[sizeof(head) - 1 + len] = 0;
		line[strcspn(line, "\r\n")] = 0;
		longer = curl_slist_append(request->headers, line);
	}
	if (line)
		sodium_memzero(line, sizeof(head) + TOKEN_MAX);
	free(line);
	if (fd >= 0)
		close(fd);
	if (!longer)
		return -ENOMEM;
	request->headers = longer;
	return 0;
}

static int add_headers(struct kube_request *request)
{
	request->headers = curl_slist_append(NULL, "Accept: application/json");
	if (request->headers && request->config.body)
		curl_slist_append(request->headers, "Content-Type: application/json");
	if (!request->headers)
		return -ENOMEM;
	return request->http->token_file ? add_token(request) : 0;
}

static void set_options(struct kube_request *request, const char *url)
{
	const struct kube_http *http = request->http;
	CURL *easy = request->easy;

	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->config.method);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "reqtap/" REQTAP_VERSION);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* HTTPS_PROXY is for the exports */
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)KUBE_TIMEOUT_S);
	if (request->config.line) {
		curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)KUBE_SILENCE_S);
	} else {
		curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)KUBE_TIMEOUT_S);
	}
	if (http->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
	if (http->insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (request->config.body)
		curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->config.body);
}

struct kube_request *kube_http__send(struct kube_http *http,
				     const struct kube_request_config *config)
{
	struct kube_request *request = calloc(1, sizeof(*request));
	char *url = NULL;

	if (!request)
		return NULL;
	request->http = http;
	request->config = *config;
	request->next = http->requests;
	http->requests = request;
	request->easy = curl_easy_init();
	if (!request->easy || add_headers(request) ||
	    asprintf(&url, "%s%s", http->base, config->path) < 0) {
		request_free(request);
		return NULL;
	}
	set_options(request, url);
	free(url);
	request->config.path = request->config.body = NULL; /* the caller's, and used */
	curl_multi_add_handle(http->multi, request->easy);
	return request;
}

struct kube_request *kube_request__cancel(struct kube_request *request)
{
	if (!request)
		return NULL;
	request->cancelled = true;
	if (!request->in_line)
		request_free(request);
	return NULL;
}

uint64_t kube_http__long_lines(const struct kube_http *http)
{
	return http->long_lines;
}
