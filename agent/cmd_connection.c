/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "agent/cmd_connection.h"
#include "agent/connection.h"
#include "agent/connection_test.h"

#define DEFAULT_STATE_DIR "/var/lib/reqtap"
#define EXIT_USAGE 2

static const char usage[] =
	"usage: reqtap connection set --endpoint URL [options]   store the one OTLP destination\n"
	"       reqtap connection show                           what is in force; no secret\n"
	"       reqtap connection test                           send one probe record\n"
	"       reqtap connection remove [--drop]                exports stop at once\n"
	"\n"
	"  --vendor NAME             fills in endpoint and header name: honeycomb, datadog, "
	"grafana,\n"
	"                            newrelic, sentry, loki, elastic, collector\n"
	"  --endpoint URL            the full URL, used as it is\n"
	"  --header-name NAME        the header that carries the credential\n"
	"  --header-value-file FILE  its value; '-' or none: standard input, hidden on a terminal\n"
	"  --compression NAME        gzip (default), zstd, none\n"
	"  --max-bytes N             of a request, compressed\n"
	"  --timeout MS              of a request (default 10000)\n"
	"  --retry-codes LIST        HTTP codes to try again (default " DESTINATION_RETRY_CODES
	")\n"
	"  --ca FILE  --client-cert FILE  --client-key FILE  --proxy URL\n"
	"  --drop                    remove: what waits is dropped (default: kept for the next "
	"one)\n"
	"  --state-dir DIR           default: $REQTAP_STATE_DIR or " DEFAULT_STATE_DIR "\n"
	"  --secret-dir DIR          mounted secret, for show and test; default: "
	"$REQTAP_SECRET_DIR\n";

struct settings {
	struct connection_config config;
	struct destination destination;
	const char *vendor;
	const char *header_name;
	const char *header_value_file;
	bool drop;
};

__attribute__((format(printf, 2, 3))) static int complain(int status, const char *format, ...)
{
	va_list args;

	fputs("reqtap connection: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

static int number_option(const char *name, const char *text, unsigned long max, uint32_t *ret)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno || *end || end == text || *text == '-' || !number || number > max)
		return complain(EXIT_USAGE, "--%s '%s' is no whole number from 1 to %lu", name,
				text, max);
	*ret = (uint32_t)number;
	return 0;
}

static int set_text(char **ret, const char *text)
{
	free(*ret);
	*ret = strdup(text);
	return *ret ? 0 : complain(1, "out of memory");
}

enum choice {
	OPTION_VENDOR = 256,
	OPTION_ENDPOINT,
	OPTION_HEADER_NAME,
	OPTION_HEADER_VALUE_FILE,
	OPTION_COMPRESSION,
	OPTION_MAX_BYTES,
	OPTION_TIMEOUT,
	OPTION_RETRY_CODES,
	OPTION_CA,
	OPTION_CLIENT_CERT,
	OPTION_CLIENT_KEY,
	OPTION_PROXY,
	OPTION_DROP,
	OPTION_STATE_DIR,
	OPTION_SECRET_DIR,
	OPTION_HELP,
};

static const struct option options[] = {
	{ "vendor", required_argument, NULL, OPTION_VENDOR },
	{ "endpoint", required_argument, NULL, OPTION_ENDPOINT },
	{ "header-name", required_argument, NULL, OPTION_HEADER_NAME },
	{ "header-value-file", required_argument, NULL, OPTION_HEADER_VALUE_FILE },
	{ "compression", required_argument, NULL, OPTION_COMPRESSION },
	{ "max-bytes", required_argument, NULL, OPTION_MAX_BYTES },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "retry-codes", required_argument, NULL, OPTION_RETRY_CODES },
	{ "ca", required_argument, NULL, OPTION_CA },
	{ "client-cert", required_argument, NULL, OPTION_CLIENT_CERT },
	{ "client-key", required_argument, NULL, OPTION_CLIENT_KEY },
	{ "proxy", required_argument, NULL, OPTION_PROXY },
	{ "drop", no_argument, NULL, OPTION_DROP },
	{ "state-dir", required_argument, NULL, OPTION_STATE_DIR },
	{ "secret-dir", required_argument, NULL, OPTION_SECRET_DIR },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ 0 },
};

static int set_option(struct settings *settings, int option, const char *value)
{
	struct destination *destination = &settings->destination;

	switch (option) {
	case OPTION_VENDOR:
		settings->vendor = value;
		return 0;
	case OPTION_ENDPOINT:
		return set_text(&destination->endpoint, value);
	case OPTION_HEADER_NAME:
		settings->header_name = value;
		return 0;
	case OPTION_HEADER_VALUE_FILE:
		settings->header_value_file = value;
		return 0;
	case OPTION_COMPRESSION:
		if (compression_from_name(value, &destination->compression) == 0)
			return 0;
		return complain(EXIT_USAGE, "--compression '%s' must be gzip, zstd or none", value);
	case OPTION_MAX_BYTES:
		return number_option("max-bytes", value, DESTINATION_MAX_RAW_BYTES,
				     &destination->max_body_bytes);
	case OPTION_TIMEOUT:
		return number_option("timeout", value, 3600000, &destination->timeout_ms);
	case OPTION_RETRY_CODES:
		if (destination__set_retry_codes(destination, value) == 0)
			return 0;
		return complain(EXIT_USAGE,
				"--retry-codes '%s' is no list of at most %d HTTP "
				"codes; " DESTINATION_RETRY_CODES " would be right",
				value, DESTINATION_RETRY_CODES_MAX);
	case OPTION_CA:
		return set_text(&destination->ca_file, value);
	case OPTION_CLIENT_CERT:
		return set_text(&destination->client_cert_file, value);
	case OPTION_CLIENT_KEY:
		return set_text(&destination->client_key_file, value);
	case OPTION_PROXY:
		return set_text(&destination->proxy, value);
	case OPTION_DROP:
		settings->drop = true;
		return 0;
	case OPTION_STATE_DIR:
		settings->config.state_dir = value;
		return 0;
	case OPTION_SECRET_DIR:
		settings->config.secret_dir = value;
		return 0;
	default:
		return EXIT_USAGE;
	}
}

static const char *from_env(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value && *value ? value : otherwise;
}

/* 0; -1: help was asked for; else an exit status. */
static int parse(struct settings *settings, int argc, char **argv)
{
	int option, status = 0;

	optind = 0;
	opterr = 0;
	while (!status && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == OPTION_HELP)
			return -1;
		if (option == '?')
			return complain(EXIT_USAGE, "what is '%s'? (try --help)", argv[optind - 1]);
		status = set_option(settings, option, optarg);
	}
	/* A value given as an argument is in every process list: not even repeated here. */
	if (!status && optind < argc)
		return complain(EXIT_USAGE, "an argument too many; a header's value is given by "
					    "--header-value-file or standard input");
	return status;
}

/* Without echo, so that nobody reads it over a shoulder or in a recorded terminal. */
static struct secret *prompt(int *ret_err)
{
	struct termios old, hidden;
	char line[4096];
	struct secret *secret = NULL;

	*ret_err = -errno;
	if (tcgetattr(STDIN_FILENO, &old) < 0)
		return NULL;
	hidden = old;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	fputs("header value (not shown): ", stderr);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	ssize_t len = read(STDIN_FILENO, line, sizeof(line));
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
	fputc('\n', stderr);
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	*ret_err = len < 0 ? -EIO : -ENOMEM;
	if (len >= 0)
		secret = secret__new(line, (size_t)len);
	secret__wipe(line, sizeof(line));
	return secret;
}

static struct secret *read_value(const char *file, int *ret_err)
{
	struct secret *secret;
	int fd;

	if (!file || strcmp(file, "-") == 0)
		return isatty(STDIN_FILENO) ? prompt(ret_err) : secret__read(STDIN_FILENO, ret_err);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	*ret_err = -errno;
	if (fd < 0)
		return NULL;
	secret = secret__read(fd, ret_err);
	close(fd);
	return secret;
}

static int add_header(struct settings *settings)
{
	const char *file = settings->header_value_file;
	struct secret *value;
	int err;

	if (!settings->header_name)
		return file ? complain(EXIT_USAGE, "--header-value-file without --header-name") : 0;
	value = read_value(file, &err);
	if (!value)
		return complain(1, "the header's value: %s: %s", file ? file : "standard input",
				strerror(-err));
	if (!secret__len(value))
		err = complain(EXIT_USAGE, "the header's value is empty: %s",
			       file ? file : "standard input");
	else
		err = destination__add_header(&settings->destination, settings->header_name,
					      secret__text(value), secret__len(value));
	secret__free(value);
	if (err == -EINVAL)
		return complain(EXIT_USAGE,
				"--header-name '%s' or its value is none of HTTP: no line "
				"end or control character may be in it",
				settings->header_name);
	return err < 0 ? complain(1, "%s", strerror(-err)) : err;
}

static int use_vendor(struct settings *settings)
{
	const struct vendor *vendor;

	if (!settings->vendor)
		return 0;
	vendor = vendor__find(settings->vendor);
	if (!vendor)
		return complain(EXIT_USAGE, "--vendor '%s' is not known (try --help)",
				settings->vendor);
	if (!settings->destination.endpoint && !vendor->endpoint)
		return complain(EXIT_USAGE, "--vendor %s needs --endpoint; %s", vendor->name,
				vendor->hint);
	if (!settings->destination.endpoint &&
	    set_text(&settings->destination.endpoint, vendor->endpoint))
		return 1;
	/* A single-tenant Loki has no header: it is given or it is not. */
	if (!settings->header_name &&
	    (settings->header_value_file || strcmp(vendor->name, "loki") != 0))
		settings->header_name = vendor->header_name;
	if (!settings->destination.max_body_bytes)
		settings->destination.max_body_bytes = vendor->max_body_bytes;
	return 0;
}

/* What was to be dropped stays so: the agent may not have been there when it was said. */
static void keep_drop(struct settings *settings)
{
	struct destination old;
	char *problem;

	if (connection__load(settings->config.state_dir, &old, &problem) == 0) {
		settings->destination.drop_before_ns = old.drop_before_ns;
		destination__clear(&old);
	}
	free(problem);
}

static int store(struct settings *settings)
{
	char *problem;
	int err = connection__store(settings->config.state_dir, &settings->destination, &problem);

	if (err)
		complain(1, "%s", problem ? problem : strerror(-err));
	free(problem);
	return err ? 1 : 0;
}

static int set(struct settings *settings)
{
	const char *problem;
	int status = use_vendor(settings);

	if (!status && !settings->destination.endpoint)
		return complain(EXIT_USAGE, "--endpoint is missing (try --help)");
	if (!status) {
		problem = destination__endpoint_problem(settings->destination.endpoint);
		if (problem)
			return complain(EXIT_USAGE, "--endpoint '%s' %s",
					settings->destination.endpoint, problem);
		status = add_header(settings);
	}
	if (status)
		return status;
	settings->destination.enabled = true;
	keep_drop(settings);
	status = store(settings);
	if (!status)
		printf("stored; a running agent uses it within a second\n");
	return status;
}

static int read_now(struct settings *settings, struct destination *ret)
{
	char *problem;
	int err = connection__read(&settings->config, ret, &problem);

	if (err == -ENOENT || (!err && !ret->enabled)) {
		if (!err)
			destination__clear(ret);
		complain(1, "none is set; see 'reqtap connection set --help'");
	} else if (err) {
		complain(1, "%s", problem ? problem : strerror(-err));
	}
	free(problem);
	return err == 0 && ret->enabled ? 0 : 1;
}

/* A proxy's password is a secret too: "http://user:password@host:port". */
static void show_proxy(const char *proxy)
{
	const char *scheme = strstr(proxy, "://"), *at = strrchr(proxy, '@');
	int len = scheme ? (int)(scheme + 3 - proxy) : 0;

	if (at)
		printf("proxy        %.*s(hidden)%s\n", len, proxy, at);
	else
		printf("proxy        %s\n", proxy);
}

static int show(struct settings *settings)
{
	struct destination now;
	char retry[DESTINATION_RETRY_TEXT_MAX];
	int status = read_now(settings, &now);

	if (status)
		return status;
	printf("endpoint     %s\n", now.endpoint);
	for (size_t i = 0; i < now.header_count; i++)
		printf("header       %s: (hidden)\n", now.headers[i].name);
	printf("compression  %s\n", compression_name(now.compression));
	printf("timeout      %u ms\n", now.timeout_ms);
	destination__retry_text(&now, retry);
	printf("retried      %s\n", retry);
	if (now.max_body_bytes)
		printf("max bytes    %u\n", now.max_body_bytes);
	if (now.ca_file)
		printf("ca           %s\n", now.ca_file);
	if (now.client_cert_file)
		printf("client cert  %s\n", now.client_cert_file);
	if (now.proxy)
		show_proxy(now.proxy);
	destination__clear(&now);
	return 0;
}

static int test(struct settings *settings)
{
	struct destination now;
	char line[1024];
	int status = read_now(settings, &now);

	if (status)
		return status;
	status = connection__test(&now, line, sizeof(line)) ? 0 : 1;
	printf("%s: %s\n", now.endpoint, line);
	destination__clear(&now);
	return status;
}

/* Kept as a stored connection that is off: with --drop it says from when what waits is dropped. */
static int remove_connection(struct settings *settings)
{
	struct destination old;
	struct timespec ts;
	char *problem;
	int err = connection__load(settings->config.state_dir, &old, &problem);

	free(problem);
	if (err == -ENOENT)
		return complain(1, "none is stored in %s", settings->config.state_dir);
	if (!err) {
		settings->destination.drop_before_ns = old.drop_before_ns;
		destination__clear(&old);
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	if (settings->drop)
		settings->destination.drop_before_ns =
			(uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	settings->destination.enabled = false;
	err = store(settings);
	if (!err)
		printf("removed; what waits is %s\n", settings->drop ? "dropped" : "kept");
	return err;
}

int cmd_connection(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(struct settings *settings);
	} verbs[] = {
		{ "set", set },
		{ "show", show },
		{ "test", test },
		{ "remove", remove_connection },
	};
	struct settings settings = {
		.config = { from_env("REQTAP_STATE_DIR", DEFAULT_STATE_DIR),
			    from_env("REQTAP_SECRET_DIR", NULL), true },
	};
	int status;

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
		fputs(usage, stdout);
		return 0;
	}
	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		secret__empty_core();
		secret__guard_process();
		destination__init(&settings.destination);
		status = parse(&settings, argc - 1, argv + 1);
		if (status < 0)
			fputs(usage, stdout);
		status = status < 0 ? 0 : status ? status : verbs[i].fn(&settings);
		destination__clear(&settings.destination);
		return status;
	}
	return complain(EXIT_USAGE, "%s; one of set, show, test, remove",
			argc > 1 ? "no such verb" : "what?");
}
