/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keep.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "agent/api.h"
#include "agent/http_listen.h"
#include "agent/log.h"

#define TOKEN_MAX 256

enum { HISTORY_AUTO, HISTORY_ON, HISTORY_OFF };

const char *const keep_choices[] = { "auto", "on", "off", NULL };

struct keep {
	const struct keep_config *config;
	struct history *history; /* NULL: off */
	struct live *live;
	struct api *api;
	struct http *local; /* on the UNIX socket; NULL: it cannot be had */
	struct http *http;  /* on a port; NULL: not asked for */
	char token[TOKEN_MAX];
};

int keep__check(const struct keep_config *config)
{
	char *problem = NULL;
	int err = 0;

	if (config->listen && !config->state_dir)
		log_error("--listen: needs --state-dir: the page shows what is kept there");
	else if (config->history == HISTORY_ON && !config->state_dir)
		log_error("--history: needs --state-dir, where it is kept");
	else if (config->token_file && !config->listen)
		log_error("--listen-token-file: needs --listen");
	else if (config->listen)
		err = http_listen__check(config->listen, config->token_file, &problem);
	else
		return 0;
	if (problem)
		log_error("--listen: %s", problem);
	free(problem);
	return config->listen && config->state_dir ? err : -EINVAL;
}

static void on_say(void *ctx, const char *line)
{
	log_warn("%s", line);
}

/* History that cannot be kept keeps nothing else from working. */
static void start_history(struct keep *keep, struct loop *loop)
{
	const struct history_config config = {
		.dir = keep->config->state_dir,
		.max_bytes = keep->config->max_bytes,
		.max_age_ns = keep->config->max_age_ns,
		.say = on_say,
	};
	int err;

	if (keep->config->history == HISTORY_OFF)
		return;
	keep->history = history__new(loop, &config, &err);
	if (!keep->history)
		log_warn("no history is kept in %s: %s", config.dir,
			 err == -EBUSY ? "another reqtap keeps its own there" : strerror(-err));
}

/* The first line of the file. 0, or the problem has been said. */
static int read_token(struct keep *keep)
{
	const char *path = keep->config->token_file;
	FILE *in = path ? fopen(path, "re") : NULL;
	int err = 0;

	if (!path)
		return 0;
	if (!in || !fgets(keep->token, sizeof(keep->token), in))
		err = -EIO;
	if (in)
		fclose(in);
	keep->token[strcspn(keep->token, "\r\n")] = '\0';
	if (err || strlen(keep->token) < HTTP_TOKEN_MIN) {
		log_error("--listen-token-file: %s holds no token of at least %d characters", path,
			  HTTP_TOKEN_MIN);
		return -EINVAL;
	}
	return 0;
}

static int start_server(struct keep *keep)
{
	const char *token = *keep->token ? keep->token : NULL;
	struct http_config config = { .listen = keep->config->listen, .token = token };
	char *problem = NULL;
	char local[PATH_MAX];
	int err;

	keep->live = live__new();
	keep->api = keep->live ? api__new(keep->config->state_dir, keep->live, token) : NULL;
	if (!keep->api)
		return -ENOMEM;
	config.routes = api__routes(keep->api, keep->config->routes);
	if (config.listen) {
		keep->http = http__new(&config, &err, &problem);
		if (!keep->http) {
			log_error("--listen: %s", problem ? problem : strerror(-err));
			free(problem);
			return err;
		}
		log_info("logs: %s/", http__url(keep->http));
	}
	snprintf(local, sizeof(local), "unix:%s/" KEEP_SOCKET, keep->config->state_dir);
	config.listen = local;
	keep->local = http__new(&config, &err, &problem);
	if (!keep->local)
		log_warn("`reqtap top` will not work: %s", problem ? problem : strerror(-err));
	free(problem);
	return 0;
}

struct keep *keep__new(struct loop *loop, const struct keep_config *config)
{
	struct keep *keep = calloc(1, sizeof(*keep));

	if (!keep)
		return NULL;
	keep->config = config;
	if (mkdir(config->state_dir, 0700) < 0 && errno != EEXIST)
		log_warn("%s: %s", config->state_dir, strerror(errno));
	start_history(keep, loop);
	if (read_token(keep) || start_server(keep))
		return keep__free(keep);
	return keep;
}

struct keep *keep__free(struct keep *keep)
{
	if (!keep)
		return NULL;
	/* history first: a tail that is open shows the last lines too */
	history__free(keep->history);
	http__free(keep->http);
	http__free(keep->local);
	api__free(keep->api);
	live__free(keep->live);
	free(keep);
	return NULL;
}

void keep__record(struct keep *keep, const struct record *record)
{
	if (!keep)
		return;
	if (keep->history)
		history__record(keep->history, record);
	live__record(keep->live, record);
}

void keep__event(struct keep *keep, const struct event *event)
{
	if (keep)
		live__event(keep->live, event);
}

void keep__lost(struct keep *keep, uint64_t lost)
{
	if (keep)
		live__lost(keep->live, lost);
}

const char *keep__url(const struct keep *keep)
{
	return keep && keep->http ? http__url(keep->http) : NULL;
}

bool keep__stats(struct keep *keep, struct history_stats *ret)
{
	if (!keep || !keep->history)
		return false;
	history__stats(keep->history, ret);
	return true;
}
