/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve: a history with known records, and the page on it, without a kernel side.
 *
 *   serve DIR ADDRESS [TOKEN-FILE]
 *
 * Prints the page's address. Then reads commands: "rate N" writes N lines a second from now on,
 * "hostile" writes one line of markup and control characters, "quit" ends it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include "agent/keep.h"
#include "agent/log.h"

#define SECOND 1000000000ULL
#define PAST 4000 /* records of the last ten minutes at the start */

static const struct replica replicas[] = {
	{ .replica = STR("b4x9z"),
	  .model_id = STR("abcd1234"),
	  .model_version_id = STR("wv1old0"),
	  .environment = STR("production") },
	{ .replica = STR("k7m2q"),
	  .model_id = STR("abcd1234"),
	  .model_version_id = STR("wv2new0"),
	  .environment = STR("production") },
	{ .replica = STR("t5s8d"),
	  .model_id = STR("abcd1234"),
	  .model_version_id = STR("wv2new0"),
	  .environment = STR("staging") },
};

struct serve {
	struct loop *loop;
	struct loop_timer *timer;
	struct keep *keep;
	uint64_t rate, written, begun_ns, due;
};

static uint64_t unix_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static void put(struct serve *serve, uint64_t time_ns, unsigned which, enum severity severity,
		const char *message, const char *exc_info, const char *id)
{
	const struct record record = {
		.time_ns = time_ns,
		.observed_ns = time_ns + 2000000,
		.severity = severity,
		.body = str_from(message),
		.message = str_from(message),
		.exc_info = str_from(exc_info),
		.request_id = str_from(id),
		.evidence = id ? EVIDENCE_THREAD : EVIDENCE_NONE,
		.replica = &replicas[which],
		.stream = 2,
		.tgid = 4100 + which,
		.tid = 4200 + which,
	};

	keep__record(serve->keep, &record);
}

/* The line `n` of a run: request n / 5, which moves on to another replica half-way. */
static void put_line(struct serve *serve, uint64_t n, uint64_t time_ns)
{
	static const char *const stages[] = { "request begins, prompt of %u tokens",
					      "tokenized in 0.%02u ms",
					      "prefill done, kv blocks %u/4096",
					      "decoded %u tokens, streaming",
					      "response complete, %u tokens in all" };
	unsigned x = (unsigned)(n * 2654435761u), stage = (unsigned)(n % 5);
	uint64_t request = n / 5;
	char text[160], id[64];
	int len = snprintf(text, sizeof(text), "engine: ");
	enum severity severity = stage == 1 ? SEVERITY_DEBUG : SEVERITY_INFO;

	snprintf(text + len, sizeof(text) - (size_t)len, stages[stage], x / 7 % 900 + 10);
	snprintf(id, sizeof(id), "%08x%08x%08x%05x", (unsigned)request * 40503u,
		 ~(unsigned)request * 2654435761u, (unsigned)request * 69069u, (unsigned)request);
	if (n % 97 == 13) {
		severity = SEVERITY_WARN;
		snprintf(text, sizeof(text), "scheduler: queue depth %u is above the target",
			 x % 60 + 20);
	}
	if (n % 401 == 77)
		put(serve, time_ns, 1, SEVERITY_ERROR, "model: step failed: CUDA out of memory",
		    "Traceback (most recent call last):\n  File \"/app/model.py\", line 88, in "
		    "step\n"
		    "    out = self.engine.forward(batch)\n  File \"/app/engine.py\", line 412, in "
		    "forward\n    raise OutOfMemory(need)\nOutOfMemory: 2.1 GiB more needed",
		    id);
	else
		put(serve, time_ns, (unsigned)((request + (stage > 2)) % 3), severity, text, NULL,
		    n % 50 == 49 ? NULL : id);
}

static void put_hostile(struct serve *serve)
{
	put(serve, unix_now(), 0, SEVERITY_WARN,
	    "hostile <img src=x onerror=\"document.title='owned'\"><script>document.title='owned'"
	    "</script> </pre></span>&lt;b&gt; \"quotes\" 'single' \x1b[31mred\x1b[0m \x07 bell "
	    "\x7f "
	    "\xe2\x80\xae"
	    "desrever\xe2\x80\xac zero\xe2\x80\x8bwidth \xc2\x85 nel ${7*7} {{7*7}} "
	    "javascript:alert(1) =HYPERLINK(\"http://evil\") \xf0\x9f\x94\xa5",
	    NULL, "\"><svg/onload=document.title='owned'>");
}

static void on_timer(void *ctx, uint64_t now_ns)
{
	struct serve *serve = ctx;

	serve->due = (now_ns - serve->begun_ns) * serve->rate / SECOND;
	while (serve->written < serve->due) {
		put_line(serve, PAST + serve->written, unix_now());
		serve->written++;
	}
	loop_timer__set(serve->timer, serve->rate ? now_ns + 5000000 : UINT64_MAX);
}

static void on_command(void *ctx, int fd, uint32_t events)
{
	struct serve *serve = ctx;
	char line[128];

	if (!fgets(line, sizeof(line), stdin) || !strncmp(line, "quit", 4)) {
		loop__stop(serve->loop);
		return;
	}
	if (!strncmp(line, "hostile", 7))
		put_hostile(serve);
	if (sscanf(line, "rate %" SCNu64, &serve->rate) == 1) {
		serve->begun_ns = loop__now(serve->loop);
		serve->written = 0;
		loop_timer__set(serve->timer, 0);
	}
}

int main(int argc, char **argv)
{
	struct serve serve = { .loop = loop__new() };
	struct keep_config config = { 0 };
	uint64_t now_ns = unix_now();

	if (argc < 3) {
		fprintf(stderr, "usage: serve DIR ADDRESS [TOKEN-FILE]\n");
		return 2;
	}
	config.state_dir = argv[1];
	config.listen = argv[2];
	config.token_file = argv[3];
	setvbuf(stdin, NULL, _IONBF, 0);
	log__set_level(LOG_LEVEL_WARN);
	serve.keep = keep__new(serve.loop, &config);
	serve.timer = loop_timer__new(serve.loop, on_timer, &serve);
	if (!serve.keep || !serve.timer)
		return 1;
	for (uint64_t n = 0; n < PAST; n++)
		put_line(&serve, n, now_ns - 600 * SECOND + n * (600 * SECOND / PAST));
	printf("%s\n", keep__url(serve.keep));
	fflush(stdout);
	loop__watch(serve.loop, STDIN_FILENO, EPOLLIN, on_command, &serve);
	loop__run(serve.loop);
	keep__free(serve.keep);
	loop_timer__free(serve.timer);
	loop__free(serve.loop);
	return 0;
}
