/* SPDX-License-Identifier: Apache-2.0 */
/* OpenTelemetry's environment variables: "OTLP exporter", configuration options. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/destination.h"

#define PREFIX "OTEL_EXPORTER_OTLP_"

/* The LOGS_ form wins; an empty value is as good as none. */
static const char *setting(const char *name, char *ret_variable, size_t size)
{
	const char *value;

	snprintf(ret_variable, size, PREFIX "LOGS_%s", name);
	value = getenv(ret_variable);
	if (value && *value)
		return value;
	snprintf(ret_variable, size, PREFIX "%s", name);
	value = getenv(ret_variable);
	return value && *value ? value : NULL;
}

__attribute__((format(printf, 2, 3))) static int fail(char **ret_problem, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(ret_problem, format, args) < 0)
		*ret_problem = NULL;
	va_end(args);
	return -EINVAL;
}

/* The signal's own URL is used as it is; the base gets v1/logs appended. */
static int read_endpoint(struct destination *destination, char **ret_problem)
{
	char variable[64];
	const char *value = setting("ENDPOINT", variable, sizeof(variable));
	const char *problem;

	if (!value)
		return -ENOENT;
	problem = destination__endpoint_problem(value);
	if (problem)
		return fail(ret_problem, "%s: '%s' %s", variable, value, problem);
	if (strcmp(variable, PREFIX "ENDPOINT") != 0)
		destination->endpoint = strdup(value);
	else if (asprintf(&destination->endpoint, "%s%sv1/logs", value,
			  value[strlen(value) - 1] == '/' ? "" : "/") < 0)
		destination->endpoint = NULL;
	return destination->endpoint ? 0 : -ENOMEM;
}

static int read_number(const char *variable, const char *value, unsigned long max, uint32_t *ret,
		       char **ret_problem)
{
	char *end;
	unsigned long number = strtoul(value, &end, 10);

	if (*end || end == value || *value == '-' || number == 0 || number > max)
		return fail(ret_problem, "%s: '%s' is no whole number from 1 to %lu", variable,
			    value, max);
	*ret = (uint32_t)number;
	return 0;
}

static int read_file_name(const char *name, char **ret)
{
	char variable[64];
	const char *value = setting(name, variable, sizeof(variable));

	if (!value)
		return 0;
	*ret = strdup(value);
	return *ret ? 0 : -ENOMEM;
}

static int read_wire(struct destination *destination, char **ret_problem)
{
	char variable[64];
	const char *value = setting("COMPRESSION", variable, sizeof(variable));

	if (value && compression_from_name(value, &destination->compression) < 0)
		return fail(ret_problem, "%s: '%s' must be gzip, zstd or none", variable, value);
	value = setting("PROTOCOL", variable, sizeof(variable));
	if (value && strcmp(value, "http/protobuf") != 0)
		return fail(ret_problem, "%s: '%s' must be http/protobuf", variable, value);
	value = setting("TIMEOUT", variable, sizeof(variable));
	if (value && read_number(variable, value, 3600000, &destination->timeout_ms, ret_problem))
		return -EINVAL;
	value = getenv("REQTAP_EXPORT_RETRY_CODES");
	if (value && *value && destination__set_retry_codes(destination, value) < 0)
		return fail(ret_problem,
			    "REQTAP_EXPORT_RETRY_CODES: '%s' is no list of HTTP "
			    "codes; " DESTINATION_RETRY_CODES " would be right",
			    value);
	value = getenv("REQTAP_EXPORT_MAX_BYTES");
	if (value && *value)
		return read_number("REQTAP_EXPORT_MAX_BYTES", value, DESTINATION_MAX_RAW_BYTES,
				   &destination->max_body_bytes, ret_problem);
	return 0;
}

static int read_headers(struct destination *destination, char **ret_problem)
{
	char variable[64];
	const char *value = setting("HEADERS", variable, sizeof(variable));
	int err = value ? destination__add_header_list(destination, value) : 0;

	/* Never the value itself: it is the secret. */
	if (err == -EINVAL || err == -E2BIG)
		return fail(ret_problem,
			    "%s is no list of at most %d name=value, comma between them", variable,
			    DESTINATION_HEADERS_MAX);
	return err;
}

int destination__from_env(struct destination *ret_destination, char **ret_problem)
{
	struct destination read;
	int err;

	*ret_problem = NULL;
	destination__init(&read);
	err = read_endpoint(&read, ret_problem);
	if (!err)
		err = read_wire(&read, ret_problem);
	if (!err)
		err = read_headers(&read, ret_problem);
	if (!err)
		err = read_file_name("CERTIFICATE", &read.ca_file);
	if (!err)
		err = read_file_name("CLIENT_CERTIFICATE", &read.client_cert_file);
	if (!err)
		err = read_file_name("CLIENT_KEY", &read.client_key_file);
	if (err) {
		destination__clear(&read);
		return err;
	}
	read.enabled = true;
	*ret_destination = read;
	return 0;
}

void destination__scrub_env(void)
{
	static const char *const names[] = { PREFIX "LOGS_HEADERS", PREFIX "HEADERS" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *value = getenv(names[i]);

		/* In place: /proc/PID/environ is this very memory; unsetenv() would leave it. */
		if (value)
			secret__wipe(value, strlen(value));
	}
}
