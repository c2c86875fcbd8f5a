/* SPDX-License-Identifier: Apache-2.0 */
/* Settings, waiting times, secrets: what export decides before it sends. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "agent/connection.h"
#include "agent/destination.h"
#include "agent/export.h"
#include "tests/unit/unit.h"

#define S 1000000000ULL

static void test_backoff(void **state)
{
	uint64_t bound_ns = S / 2;

	for (unsigned i = 0; i < 10; i++, bound_ns *= 2) {
		uint64_t most_ns = bound_ns < 30 * S ? bound_ns : 30 * S;

		assert_int_equal(export__backoff_ns(i, 0), 0);
		assert_true(export__backoff_ns(i, UINT32_MAX) <= most_ns);
		assert_true(export__backoff_ns(i, UINT32_MAX) > most_ns / 10 * 9);
	}
	assert_true(export__backoff_ns(1000000, UINT32_MAX) <= 30 * S);
}

static void test_retry_after(void **state)
{
	/* 784111777 is the date of RFC 9110, 5.6.7. */
	static const struct {
		const char *value;
		uint64_t ns;
	} cases[] = {
		{ "5", 5 * S },
		{ "0", 0 },
		{ "-3", 0 },
		{ "", 0 },
		{ "soon", 0 },
		{ "999999999999999999999", 3600 * S },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 7 * S },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", 7 * S },
		{ "Sun Nov  6 08:49:37 1994", 7 * S },
		{ "Sun, 06 Nov 1994 08:49:00 GMT", 0 },
		{ "Sun, 06 Nov 1995 08:49:00 GMT", 3600 * S },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(export__retry_after_ns(cases[i].value, 784111777 - 7),
				 cases[i].ns);
}

static void assert_header(const struct destination *destination, size_t i, const char *name,
			  const char *value)
{
	assert_true(i < destination->header_count);
	assert_string_equal(destination->headers[i].name, name);
	assert_string_equal(secret__text(destination->headers[i].value), value);
}

static void test_header_list(void **state)
{
	struct destination destination;

	destination__init(&destination);
	assert_int_equal(destination__add_header_list(&destination,
						      "a=1, b = two%20words ,,c=x=y%3D,d=Basic "
						      "Zm9v,e=50%"),
			 0);
	assert_int_equal(destination.header_count, 5);
	assert_header(&destination, 0, "a", "1");
	assert_header(&destination, 1, "b", "two words");
	assert_header(&destination, 2, "c", "x=y=");
	assert_header(&destination, 3, "d", "Basic Zm9v");
	assert_header(&destination, 4, "e", "50%");
	destination__clear(&destination);
	assert_int_equal(destination__add_header_list(&destination, "novalue"), -EINVAL);
	assert_int_equal(destination__add_header_list(&destination, "a b=1"), -EINVAL);
	assert_int_equal(destination__add_header_list(&destination, "=1"), -EINVAL);
	assert_int_equal(destination__add_header_list(&destination, "a=1%0d%0ax: y"), -EINVAL);
	assert_int_equal(destination__add_header_list(&destination,
						      "a=,a=,a=,a=,a=,a=,a=,a=,a=,a=,a=,a=,a=,a=,a="
						      ",a=,a="),
			 -E2BIG);
	destination__clear(&destination);
}

static void test_endpoints(void **state)
{
	static const char *const good[] = { "http://localhost:4318/v1/logs", "https://a.example",
					    "http://[::1]:4318/x", "HTTP://h/" };
	static const char *const bad[] = { "",
					   "localhost:4318",
					   "ftp://h/",
					   "http://",
					   "http://u@h/",
					   "http://u:p@h/",
					   "http://h:99999/",
					   "/v1/logs",
					   "http://a b/" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_null(destination__endpoint_problem(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(destination__endpoint_problem(bad[i]));
}

static int from_env(const char *const *pairs, struct destination *ret, char **ret_problem)
{
	clearenv();
	for (; *pairs; pairs += 2) {
		char name[64];

		snprintf(name, sizeof(name), "OTEL_EXPORTER_OTLP_%s", pairs[0]);
		setenv(name, pairs[1], 1);
	}
	return destination__from_env(ret, ret_problem);
}

static void test_env(void **state)
{
	const char *const base[] = { "ENDPOINT", "http://h:1/x/", "HEADERS", "a=1", "TIMEOUT",
				     "2500",     "COMPRESSION",   "zstd",    NULL };
	const char *const logs[] = { "ENDPOINT",       "http://h/", "LOGS_ENDPOINT",
				     "http://l/as/is", "HEADERS",   "a=1",
				     "LOGS_HEADERS",   "b=2",       NULL };
	const char *const none[] = { "HEADERS", "a=1", "LOGS_ENDPOINT", "", NULL };
	struct destination destination;
	char *problem;

	assert_int_equal(from_env(base, &destination, &problem), 0);
	assert_string_equal(destination.endpoint, "http://h:1/x/v1/logs");
	assert_header(&destination, 0, "a", "1");
	assert_int_equal(destination.timeout_ms, 2500);
	assert_int_equal(destination.compression, COMPRESSION_ZSTD);
	assert_true(destination.enabled);
	destination__clear(&destination);
	assert_int_equal(from_env(logs, &destination, &problem), 0);
	assert_string_equal(destination.endpoint, "http://l/as/is");
	assert_int_equal(destination.header_count, 1);
	assert_header(&destination, 0, "b", "2");
	destination__scrub_env();
	assert_string_equal(getenv("OTEL_EXPORTER_OTLP_LOGS_HEADERS"), "");
	destination__clear(&destination);
	assert_int_equal(from_env(none, &destination, &problem), -ENOENT);
	assert_null(problem);
}

static void test_env_mistakes(void **state)
{
	static const char *const mistakes[][2] = {
		{ "ENDPOINT", "nonsense" },       { "TIMEOUT", "10s" },    { "TIMEOUT", "0" },
		{ "COMPRESSION", "snappy" },      { "HEADERS", "s3cret" }, { "PROTOCOL", "grpc" },
		{ "LOGS_ENDPOINT", "ftp://x/y" },
	};

	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		const char *const pairs[] = { "ENDPOINT", "http://h/", mistakes[i][0],
					      mistakes[i][1], NULL };
		struct destination destination;
		char *problem;

		assert_int_equal(from_env(pairs, &destination, &problem), -EINVAL);
		assert_non_null(strstr(problem, mistakes[i][0]));
		assert_null(strstr(problem, "s3cret"));
		assert_null(strchr(problem, '\n'));
		free(problem);
	}
}

static void test_store(void **state)
{
	char dir[] = "/tmp/reqtap-unit-XXXXXX", path[64];
	struct destination one, two;
	char *problem;

	assert_non_null(mkdtemp(dir));
	destination__init(&one);
	assert_int_equal(connection__load(dir, &two, &problem), -ENOENT);
	one.endpoint = strdup("https://h/v1/logs?a=b");
	one.proxy = strdup("http://proxy:3128");
	one.max_body_bytes = 1000000;
	one.drop_before_ns = 123456789012345678;
	one.enabled = true;
	assert_int_equal(destination__add_header(&one, "X-Key", "a:b=c d", 7), 0);
	assert_int_equal(connection__store(dir, &one, &problem), 0);
	assert_int_equal(connection__load(dir, &two, &problem), 0);
	assert_true(destination__equal(&one, &two));
	destination__clear(&two);
	assert_int_equal(destination__copy(&two, &one), 0);
	assert_true(destination__equal(&one, &two));
	two.enabled = false;
	assert_false(destination__equal(&one, &two));
	destination__clear(&one);
	destination__clear(&two);
	for (const char *const *name = (const char *const[]){ "key", "connection", NULL }; *name;
	     name++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *name);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(dir), 0);
}

static void test_retry_codes(void **state)
{
	static const char *const wrong[] = { "",    "42",  "429,", ",429", "429;503", "4290",
					     "200", "600", " 429", "+429", "429,5e2", "429 ,503" };
	char text[DESTINATION_RETRY_TEXT_MAX], many[DESTINATION_RETRY_TEXT_MAX + 8] = "400";
	struct destination destination;

	destination__init(&destination);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(destination__set_retry_codes(&destination, wrong[i]), -EINVAL);
	destination__retry_text(&destination, text);
	assert_string_equal(text, DESTINATION_RETRY_CODES);
	for (int i = 1; i < DESTINATION_RETRY_CODES_MAX; i++)
		strcat(many, ",599");
	assert_int_equal(destination__set_retry_codes(&destination, many), 0);
	destination__retry_text(&destination, text);
	assert_string_equal(text, many);
	assert_int_equal(destination__set_retry_codes(&destination, strcat(many, ",500")), -EINVAL);
}

static void test_secret_read(void **state)
{
	int fds[2], err;
	struct secret *secret;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "value\r\n", 7), 7);
	close(fds[1]);
	secret = secret__read(fds[0], &err);
	assert_non_null(secret);
	assert_string_equal(secret__text(secret), "value");
	assert_int_equal(secret__len(secret), 5);
	assert_null(secret__free(secret));
	close(fds[0]);
	assert_null(secret__read(-1, &err));
	assert_int_equal(err, -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backoff),     cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_header_list), cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_env),         cmocka_unit_test(test_env_mistakes),
		cmocka_unit_test(test_store),       cmocka_unit_test(test_secret_read),
		cmocka_unit_test(test_retry_codes),
	};

	return cmocka_run_group_tests_name("export", tests, NULL, NULL);
}
