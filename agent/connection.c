/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "agent/connection.h"

/* Files that are changed one after the other, endpoint, name, value, count as one change. */
#define SETTLE_NS 150000000ULL
/* A directory that is not there yet, or again, is looked for this often. */
#define LOOK_NS 1000000000ULL
#define CHANGES                                                                                    \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB |        \
	 IN_DELETE_SELF | IN_MOVE_SELF)

/* The environment, read: it does not change while a process runs. */
struct environment {
	int err; /* -ENOENT: it names no endpoint */
	char *problem;
	struct destination destination;
};

struct connection {
	struct loop *loop;
	struct connection_config config;
	connection_fn fn;
	void *ctx;
	int inotify_fd;
	struct loop_timer *settle_timer;
	struct loop_timer *look_timer;
	int watches[3]; /* state, secret, credentials directory; -1: not there */
	struct environment env;
	bool known; /* fn has been told something */
	bool have;
	struct destination current;
	char *problem; /* told last */
};

static void environment__read(struct environment *env, bool use_env)
{
	destination__init(&env->destination);
	env->problem = NULL;
	env->err = use_env ? destination__from_env(&env->destination, &env->problem) : -ENOENT;
}

static void environment__clear(struct environment *env)
{
	if (!env->err)
		destination__clear(&env->destination);
	free(env->problem);
	env->problem = NULL;
	env->err = -ENOENT;
}

static const char *credentials_dir(void)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");

	return dir && *dir ? dir : NULL;
}

/* A member of a secret directory; *ret NULL: it has no such file. */
static int read_member(const char *dir, const char *name, struct secret **ret, char **ret_problem)
{
	char path[PATH_MAX];
	int fd, err = 0;

	*ret = NULL;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd >= 0) {
		*ret = secret__read(fd, &err);
		close(fd);
	} else {
		err = -errno;
	}
	if (err && asprintf(ret_problem, "%s: %s", path, strerror(-err)) < 0)
		*ret_problem = NULL;
	return err;
}

static int problem_in(char **ret_problem, const char *dir, const char *name, const char *what)
{
	if (asprintf(ret_problem, "%s/%s: %s", dir, name, what) < 0)
		*ret_problem = NULL;
	return -EINVAL;
}

static int read_endpoint(const char *dir, struct destination *ret, char **ret_problem)
{
	struct secret *text;
	int err = read_member(dir, "endpoint", &text, ret_problem);
	const char *problem;

	if (err || !text)
		return err;
	problem = destination__endpoint_problem(secret__text(text));
	if (problem) {
		err = problem_in(ret_problem, dir, "endpoint", problem);
	} else {
		free(ret->endpoint);
		ret->endpoint = strdup(secret__text(text));
		err = ret->endpoint ? 0 : -ENOMEM;
	}
	secret__free(text);
	return err;
}

static int read_header(const char *dir, struct destination *ret, char **ret_problem)
{
	struct secret *name = NULL, *value = NULL, *list = NULL;
	int err = read_member(dir, "header-name", &name, ret_problem);

	if (!err)
		err = read_member(dir, "header-value", &value, ret_problem);
	if (!err)
		err = read_member(dir, "headers", &list, ret_problem);
	if (!err && !name != !value)
		err = problem_in(ret_problem, dir, name ? "header-value" : "header-name",
				 "is missing; a header has both");
	if (!err && name &&
	    destination__add_header(ret, secret__text(name), secret__text(value),
				    secret__len(value)) < 0)
		err = problem_in(ret_problem, dir, "header-name",
				 "this and its value make no header");
	if (!err && list && destination__add_header_list(ret, secret__text(list)) < 0)
		err = problem_in(ret_problem, dir, "headers", "is no list of name=value");
	secret__free(name);
	secret__free(value);
	secret__free(list);
	return err;
}

static int read_compression(const char *dir, struct destination *ret, char **ret_problem)
{
	struct secret *text;
	int err = read_member(dir, "compression", &text, ret_problem);

	if (!err && text && compression_from_name(secret__text(text), &ret->compression) < 0)
		err = problem_in(ret_problem, dir, "compression", "must be gzip, zstd or none");
	secret__free(text);
	return err;
}

static int use_file(const char *dir, const char *name, char **ret)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (*ret || access(path, R_OK) < 0)
		return 0;
	*ret = strdup(path);
	return *ret ? 0 : -ENOMEM;
}

static int read_retry_codes(const char *dir, struct destination *ret, char **ret_problem)
{
	struct secret *text;
	int err = read_member(dir, "retry-codes", &text, ret_problem);

	if (!err && text && destination__set_retry_codes(ret, secret__text(text)) < 0)
		err = problem_in(ret_problem, dir, "retry-codes",
				 "is no list of HTTP codes such as " DESTINATION_RETRY_CODES);
	secret__free(text);
	return err;
}

/* `ret` may have an endpoint already: then the directory adds what is missing. */
static int read_dir(const char *dir, struct destination *ret, char **ret_problem)
{
	int err = ret->endpoint ? 0 : read_endpoint(dir, ret, ret_problem);

	if (!err && !ret->header_count)
		err = read_header(dir, ret, ret_problem);
	if (!err)
		err = read_compression(dir, ret, ret_problem);
	if (!err)
		err = read_retry_codes(dir, ret, ret_problem);
	if (!err)
		err = use_file(dir, "ca.crt", &ret->ca_file);
	if (!err)
		err = use_file(dir, "tls.crt", &ret->client_cert_file);
	if (!err)
		err = use_file(dir, "tls.key", &ret->client_key_file);
	return err;
}

static int read_environment(const struct environment *env, struct destination *ret,
			    char **ret_problem)
{
	if (env->problem)
		*ret_problem = strdup(env->problem);
	if (env->err)
		return env->err == -ENOENT ? 0 : env->err;
	return destination__copy(ret, &env->destination);
}

static int read_sources(const struct connection_config *config, const struct environment *env,
			struct destination *ret, char **ret_problem)
{
	const char *dirs[] = { config->secret_dir, config->use_env ? credentials_dir() : NULL };
	int err = read_environment(env, ret, ret_problem);

	for (int i = 0; i < 2 && !err; i++)
		if (dirs[i])
			err = read_dir(dirs[i], ret, ret_problem);
	if (err || ret->endpoint) {
		ret->enabled = !err;
		return err;
	}
	destination__clear(ret);
	return config->state_dir ? connection__load(config->state_dir, ret, ret_problem) : -ENOENT;
}

static int read_all(const struct connection_config *config, const struct environment *env,
		    struct destination *ret, char **ret_problem)
{
	struct destination read;
	int err;

	*ret_problem = NULL;
	destination__init(&read);
	err = read_sources(config, env, &read, ret_problem);
	if (err)
		destination__clear(&read);
	else
		*ret = read;
	return err;
}

int connection__read(const struct connection_config *config, struct destination *ret,
		     char **ret_problem)
{
	struct environment env;
	int err;

	environment__read(&env, config->use_env);
	err = read_all(config, &env, ret, ret_problem);
	environment__clear(&env);
	return err;
}

static void tell_problem(struct connection *connection, char *problem)
{
	bool same = connection->problem && problem && strcmp(connection->problem, problem) == 0;

	if (!same)
		connection->fn(connection->ctx, connection->have ? &connection->current : NULL,
			       problem ? problem : "the connection cannot be read");
	free(connection->problem);
	connection->problem = problem;
}

static void update(struct connection *connection)
{
	struct destination read;
	char *problem = NULL;
	int err = read_all(&connection->config, &connection->env, &read, &problem);
	bool same = connection->known &&
		    (err ? !connection->have
			 : connection->have && destination__equal(&read, &connection->current));

	if (err && err != -ENOENT) {
		tell_problem(connection, problem);
		connection->known = true;
		return;
	}
	free(connection->problem);
	connection->problem = NULL;
	free(problem);
	if (same) {
		if (!err)
			destination__clear(&read);
		return;
	}
	destination__clear(&connection->current);
	connection->have = !err;
	connection->known = true;
	if (!err)
		connection->current = read;
	connection->fn(connection->ctx, err ? NULL : &connection->current, NULL);
}

static bool watch_dirs(struct connection *connection)
{
	const char *dirs[] = { connection->config.state_dir, connection->config.secret_dir,
			       connection->config.use_env ? credentials_dir() : NULL };
	bool changed = false;

	for (int i = 0; i < 3; i++) {
		int watch =
			dirs[i] ? inotify_add_watch(connection->inotify_fd, dirs[i], CHANGES) : -1;

		changed = changed || watch != connection->watches[i];
		connection->watches[i] = watch;
	}
	return changed;
}

static void files_changed(void *ctx, int fd, uint32_t events)
{
	struct connection *connection = ctx;
	_Alignas(struct inotify_event) char buffer[4096];
	bool ours = false;
	ssize_t len;

	while ((len = read(fd, buffer, sizeof(buffer))) > 0)
		for (char *at = buffer; at < buffer + len;) {
			const struct inotify_event *event = (const void *)at;

			/* The state directory is mostly the outbox's traffic. */
			ours = ours || event->wd != connection->watches[0] || !event->len ||
			       strcmp(event->name, "connection") == 0 ||
			       strcmp(event->name, "key") == 0;
			at += sizeof(*event) + event->len;
		}
	if (ours)
		loop_timer__set(connection->settle_timer, loop__now(connection->loop) + SETTLE_NS);
}

static void settled(void *ctx, uint64_t now_ns)
{
	struct connection *connection = ctx;

	watch_dirs(connection);
	update(connection);
}

static void look(void *ctx, uint64_t now_ns)
{
	struct connection *connection = ctx;

	if (watch_dirs(connection))
		update(connection);
	loop_timer__set(connection->look_timer, now_ns + LOOK_NS);
}

struct connection *connection__new(struct loop *loop, const struct connection_config *config,
				   connection_fn fn, void *ctx)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->loop = loop;
	connection->config = *config;
	connection->fn = fn;
	connection->ctx = ctx;
	environment__read(&connection->env, config->use_env);
	if (config->use_env)
		destination__scrub_env();
	destination__init(&connection->current);
	connection->settle_timer = loop_timer__new(loop, settled, connection);
	connection->look_timer = loop_timer__new(loop, look, connection);
	connection->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (!connection->settle_timer || !connection->look_timer || connection->inotify_fd < 0 ||
	    loop__watch(loop, connection->inotify_fd, EPOLLIN, files_changed, connection) < 0)
		return connection__free(connection);
	watch_dirs(connection);
	update(connection);
	loop_timer__set(connection->look_timer, loop__now(loop) + LOOK_NS);
	return connection;
}

struct connection *connection__free(struct connection *connection)
{
	if (!connection)
		return NULL;
	if (connection->inotify_fd >= 0) {
		loop__unwatch(connection->loop, connection->inotify_fd);
		close(connection->inotify_fd);
	}
	loop_timer__free(connection->settle_timer);
	loop_timer__free(connection->look_timer);
	destination__clear(&connection->current);
	environment__clear(&connection->env);
	free(connection->problem);
	free(connection);
	return NULL;
}
