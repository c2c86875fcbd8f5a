/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "agent/http_guard.h"
#include "agent/http_listen.h"

#define BODY_MAX 4096 /* of a request: no route takes more */
#define IDLE_S 30     /* a connection that says nothing */
#define STACK_BYTES (512 << 10)
#define STREAM_STEP_NS 20000000 /* between two questions for more */
#define STREAM_BLOCK (64 << 10)

struct http {
	struct MHD_Daemon *daemon;
	struct http_guard guard;
	const struct http_route *routes;
	struct http_socket socket;
	atomic_bool stop;
};

struct stream {
	struct http *http;
	int (*next)(void *ctx, FILE *out);
	void (*end)(void *ctx);
	void *ctx;
	char *text; /* made and not yet sent: from `at` to `len` */
	size_t at, len;
	int err;
};

struct http_request {
	struct http *http;
	struct MHD_Connection *connection;
	const struct http_route *route;
	char body[BODY_MAX];
	size_t body_len;
	bool too_large;
	struct stream *stream;
	struct {
		const char *name;
		char value[160];
	} headers[4];
	unsigned header_count;
};

const char *http__parameter(struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http__header(struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

struct str http__body(struct http_request *request)
{
	return (struct str){ request->body, request->body_len };
}

void http__set_header(struct http_request *request, const char *name, const char *value)
{
	unsigned at = 0;

	while (at < request->header_count && strcmp(request->headers[at].name, name) != 0)
		at++;
	if (at == sizeof(request->headers) / sizeof(request->headers[0]))
		return;
	if (at == request->header_count)
		request->header_count++;
	request->headers[at].name = name;
	snprintf(request->headers[at].value, sizeof(request->headers[at].value), "%s", value);
}

/* ---- streams */

static struct stream *stream_free(struct stream *stream)
{
	if (!stream)
		return NULL;
	stream->end(stream->ctx);
	free(stream->text);
	free(stream);
	return NULL;
}

void http__stream(struct http_request *request, int (*next)(void *ctx, FILE *out),
		  void (*end)(void *ctx), void *ctx)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream) {
		end(ctx);
		return;
	}
	*stream = (struct stream){ .http = request->http, .next = next, .end = end, .ctx = ctx };
	stream_free(request->stream);
	request->stream = stream;
}

/* More text; 0: none now. */
static int fill(struct stream *stream)
{
	FILE *out;

	free(stream->text);
	stream->text = NULL;
	stream->at = stream->len = 0;
	out = open_memstream(&stream->text, &stream->len);
	if (!out)
		return -ENOMEM;
	stream->err = stream->next(stream->ctx, out);
	if (fclose(out))
		return -ENOMEM;
	return 0;
}

/* A thread of its own waits here, so it may sleep. */
static ssize_t read_stream(void *ctx, uint64_t pos, char *buffer, size_t max)
{
	struct stream *stream = ctx;
	size_t len;

	while (stream->at == stream->len) {
		if (atomic_load(&stream->http->stop))
			return MHD_CONTENT_READER_END_OF_STREAM;
		if (stream->err && stream->err != -EAGAIN)
			return MHD_CONTENT_READER_END_OF_STREAM;
		if (stream->err == -EAGAIN)
			nanosleep(&(struct timespec){ .tv_nsec = STREAM_STEP_NS }, NULL);
		if (fill(stream))
			return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	len = stream->len - stream->at < max ? stream->len - stream->at : max;
	memcpy(buffer, stream->text + stream->at, len);
	stream->at += len;
	return (ssize_t)len;
}

static void end_stream(void *ctx)
{
	stream_free(ctx);
}

/* ---- answers */

/*
 * The page runs only what it brings, talks only to where it came from, and is shown in no frame: a
 * log line that got through all escaping could still do nothing.
 */
static const char *const safety[][2] = {
	{ "Content-Security-Policy",
	  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
	  "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "Referrer-Policy", "no-referrer" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
	{ "Cache-Control", "no-store" },
};

static enum MHD_Result send_answer(struct http_request *request, unsigned status, const char *type,
				   struct MHD_Response *response)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	for (size_t i = 0; i < sizeof(safety) / sizeof(safety[0]); i++)
		MHD_add_response_header(response, safety[i][0], safety[i][1]);
	for (unsigned i = 0; i < request->header_count; i++)
		MHD_add_response_header(response, request->headers[i].name,
					request->headers[i].value);
	if (type)
		MHD_add_response_header(response, "Content-Type", type);
	result = MHD_queue_response(request->connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result refuse(struct http_request *request, unsigned status, const char *reason)
{
	char text[300];
	int len = snprintf(text, sizeof(text), "{\"error\":\"%s\"}\n", reason);

	if (status == MHD_HTTP_UNAUTHORIZED)
		http__set_header(request, "WWW-Authenticate", "Bearer");
	return send_answer(
		request, status, "application/json",
		MHD_create_response_from_buffer((size_t)len, text, MHD_RESPMEM_MUST_COPY));
}

static enum MHD_Result answer(struct http_request *request)
{
	const struct http_route *route = request->route;
	struct MHD_Response *response;
	char *text = NULL;
	size_t len = 0;
	unsigned status;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return MHD_NO;
	status = route->handle(route->ctx, request, out);
	fclose(out);
	if (request->stream) {
		free(text);
		response = MHD_create_response_from_callback(
			MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, request->stream, end_stream);
		if (response)
			request->stream = NULL;
	} else {
		response = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	}
	return send_answer(request, status, route->type, response);
}

/* ---- requests */

static const struct http_route *find_route(const struct http *http, const char *path)
{
	for (const struct http_route *route = http->routes; route->path; route++)
		if (!strcmp(route->path, path))
			return route;
	return NULL;
}

static enum MHD_Result dispatch(struct http_request *request, const char *path, const char *method)
{
	const struct http_route *route = find_route(request->http, path);
	const struct http_headers headers = {
		.host = http__header(request, "Host"),
		.origin = http__header(request, "Origin"),
		.site = http__header(request, "Sec-Fetch-Site"),
		.mode = http__header(request, "Sec-Fetch-Mode"),
		.authorization = http__header(request, "Authorization"),
		.cookie = http__header(request, "Cookie"),
	};
	bool get = !strcmp(method, "GET") || !strcmp(method, "HEAD");

	if (http_guard__origin(&request->http->guard, &headers))
		return refuse(request, MHD_HTTP_FORBIDDEN, "another origin, or a Host not ours");
	if (!route)
		return refuse(request, MHD_HTTP_NOT_FOUND, "no such path");
	if (route->post ? strcmp(method, "POST") != 0 : !get)
		return refuse(request, MHD_HTTP_METHOD_NOT_ALLOWED, "no such method here");
	if (request->too_large)
		return refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
	if (!route->open && http_guard__token(&request->http->guard, &headers))
		return refuse(request, MHD_HTTP_UNAUTHORIZED, "a token is needed");
	request->route = route;
	return answer(request);
}

static void take_body(struct http_request *request, const char *data, size_t len)
{
	if (len > sizeof(request->body) - request->body_len) {
		request->too_large = true;
		return;
	}
	memcpy(request->body + request->body_len, data, len);
	request->body_len += len;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **state)
{
	struct http_request *request = *state;

	if (!request) {
		request = calloc(1, sizeof(*request));
		if (!request)
			return MHD_NO;
		request->http = ctx;
		request->connection = connection;
		*state = request;
		return MHD_YES;
	}
	if (*size) {
		take_body(request, data, *size);
		*size = 0;
		return MHD_YES;
	}
	return dispatch(request, path, method);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct http_request *request = *state;

	if (request)
		stream_free(request->stream);
	free(request);
	*state = NULL;
}

/* Signals are the loop's: no thread of the server's may be picked for them. */
static struct MHD_Daemon *start_daemon(struct http *http)
{
	struct MHD_Daemon *daemon;
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	daemon = MHD_start_daemon(
		MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL,
		on_request, http, MHD_OPTION_LISTEN_SOCKET, http->socket.fd,
		MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)IDLE_S, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return daemon;
}

struct http *http__new(const struct http_config *config, int *ret_err, char **ret_problem)
{
	struct http *http = calloc(1, sizeof(*http));

	*ret_problem = NULL;
	*ret_err = -ENOMEM;
	if (!http)
		return NULL;
	http->routes = config->routes;
	http->socket.fd = -1;
	*ret_err = http_listen__open(config->listen, config->token, &http->socket, ret_problem);
	if (*ret_err)
		return http__free(http);
	http->guard =
		(struct http_guard){ config->token, http->socket.loopback, http->socket.is_unix };
	http->daemon = start_daemon(http);
	if (http->daemon) {
		http->socket.fd = -1; /* the daemon's now */
		return http;
	}
	*ret_err = -EIO;
	if (asprintf(ret_problem, "cannot serve on %s", config->listen) < 0)
		*ret_problem = NULL;
	return http__free(http);
}

struct http *http__free(struct http *http)
{
	if (!http)
		return NULL;
	atomic_store(&http->stop, true);
	if (http->daemon)
		MHD_stop_daemon(http->daemon);
	http_listen__close(&http->socket);
	free(http);
	return NULL;
}

const char *http__url(const struct http *http)
{
	return http->socket.url;
}
