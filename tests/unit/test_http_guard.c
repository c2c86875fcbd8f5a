/* SPDX-License-Identifier: Apache-2.0 */
/* Who may ask: another page's requests, a name that an attacker lets point here, and tokens. */
#include "tests/unit/unit.h"
#include <errno.h>
#include "agent/http_guard.h"

#define TOKEN "a-token-of-22-letters."

static const struct http_guard on_loopback = { .loopback = true };
static const struct http_guard beyond = { .token = TOKEN };
static const struct http_guard local = { .token = TOKEN, .is_unix = true };

static int origin(const struct http_guard *guard, const char *host, const char *origin_is,
		  const char *site, const char *mode)
{
	const struct http_headers headers = {
		.host = host, .origin = origin_is, .site = site, .mode = mode
	};

	return http_guard__origin(guard, &headers);
}

static void on_loopback_the_host_is_this_machine(void **state)
{
	static const char *const right[] = { "localhost",   "LOCALHOST:8430", "127.0.0.1",
					     "127.0.0.1:1", "[::1]",          "[::1]:8430" };
	static const char *const wrong[] = { "",
					     "evil.example",
					     "localhost.evil.example",
					     "127.0.0.10",
					     "127.0.0.1.evil.example",
					     "[::1",
					     "[::1].evil",
					     "[::2]:8430",
					     "::1",
					     "@localhost",
					     "localhos" };

	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		assert_int_equal(origin(&on_loopback, right[i], NULL, NULL, NULL), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(origin(&on_loopback, wrong[i], NULL, NULL, NULL), -EACCES);
	assert_int_equal(origin(&on_loopback, NULL, NULL, NULL, NULL), -EACCES);
	/* beyond loopback any name may be this machine's; a UNIX socket has none */
	assert_int_equal(origin(&beyond, "node-7.example", NULL, NULL, NULL), 0);
	assert_int_equal(origin(&local, NULL, "http://evil.example", "cross-site", NULL), 0);
}

static void another_pages_request(void **state)
{
	const char *host = "localhost:8430";

	assert_int_equal(origin(&on_loopback, host, "http://localhost:8430", NULL, NULL), 0);
	assert_int_equal(origin(&on_loopback, host, "https://LOCALHOST:8430", NULL, NULL), 0);
	assert_int_equal(origin(&on_loopback, host, "http://localhost:9999", NULL, NULL), -EACCES);
	assert_int_equal(origin(&on_loopback, host, "http://localhost:8430.evil", NULL, NULL),
			 -EACCES);
	assert_int_equal(origin(&on_loopback, host, "null", NULL, NULL), -EACCES);
	assert_int_equal(origin(&on_loopback, host, "", NULL, NULL), -EACCES);
	assert_int_equal(origin(&beyond, NULL, "http://node-7.example", NULL, NULL), -EACCES);

	assert_int_equal(origin(&on_loopback, host, NULL, "same-origin", "cors"), 0);
	assert_int_equal(origin(&on_loopback, host, NULL, "none", "navigate"), 0);
	assert_int_equal(origin(&on_loopback, host, NULL, "cross-site", "no-cors"), -EACCES);
	assert_int_equal(origin(&on_loopback, host, NULL, "same-site", "cors"), -EACCES);
	assert_int_equal(origin(&on_loopback, host, NULL, "cross-site", NULL), -EACCES);
	/* a link to the page */
	assert_int_equal(origin(&on_loopback, host, NULL, "cross-site", "navigate"), 0);
}

static int token(const struct http_guard *guard, const char *authorization, const char *cookie)
{
	const struct http_headers headers = { .authorization = authorization, .cookie = cookie };

	return http_guard__token(guard, &headers);
}

static void a_token_as_bearer(void **state)
{
	assert_int_equal(token(&beyond, "Bearer " TOKEN, NULL), 0);
	assert_int_equal(token(&beyond, "bearer " TOKEN, NULL), 0);
	assert_int_equal(token(&beyond, NULL, NULL), -EACCES);
	assert_int_equal(token(&beyond, "", ""), -EACCES);
	assert_int_equal(token(&beyond, "Bearer", NULL), -EACCES);
	assert_int_equal(token(&beyond, "Bearer ", NULL), -EACCES);
	assert_int_equal(token(&beyond, "Basic " TOKEN, NULL), -EACCES);
	assert_int_equal(token(&beyond, TOKEN, NULL), -EACCES);
	/* a part of it, and more than it */
	assert_int_equal(token(&beyond, "Bearer a-token-of-22-letters", NULL), -EACCES);
	assert_int_equal(token(&beyond, "Bearer " TOKEN "x", NULL), -EACCES);
	assert_int_equal(token(&beyond, "Bearer " TOKEN TOKEN, NULL), -EACCES);
	/* none is needed here */
	assert_int_equal(token(&on_loopback, NULL, NULL), 0);
	assert_int_equal(token(&local, NULL, NULL), 0);
}

static void a_token_as_cookie(void **state)
{
	assert_int_equal(token(&beyond, NULL, HTTP_COOKIE "=" TOKEN), 0);
	assert_int_equal(token(&beyond, NULL, "a=b; " HTTP_COOKIE "=" TOKEN "; c=d"), 0);
	assert_int_equal(token(&beyond, "Bearer wrong", HTTP_COOKIE "=" TOKEN), 0);
	assert_int_equal(token(&beyond, NULL, HTTP_COOKIE "=wrong"), -EACCES);
	assert_int_equal(token(&beyond, NULL, HTTP_COOKIE "="), -EACCES);
	assert_int_equal(token(&beyond, NULL, HTTP_COOKIE), -EACCES);
	assert_int_equal(token(&beyond, NULL, "x" HTTP_COOKIE "=" TOKEN), -EACCES);
	assert_int_equal(token(&beyond, NULL, ";;; ; =;" HTTP_COOKIE "x=" TOKEN), -EACCES);
}

static void equality(void **state)
{
	assert_true(http_guard__equal("abc", "abc", 3));
	assert_false(http_guard__equal("abc", "abd", 3));
	assert_false(http_guard__equal("abc", "ab", 2));
	assert_false(http_guard__equal("abc", "abcabc", 6));
	assert_false(http_guard__equal("abc", "", 0));
	assert_false(http_guard__equal("", "a", 1));
	assert_true(http_guard__equal("", "", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_loopback_the_host_is_this_machine),
		cmocka_unit_test(another_pages_request),
		cmocka_unit_test(a_token_as_bearer),
		cmocka_unit_test(a_token_as_cookie),
		cmocka_unit_test(equality),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
