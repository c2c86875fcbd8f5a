/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <errno.h>
#include <time.h>
#include "agent/when.h"

#define SECOND 1000000000ULL
#define NOW (1795536000ULL * SECOND) /* 2026-11-24T16:00:00Z */

static uint64_t parsed(const char *text)
{
	uint64_t ns = 0;

	if (when__parse(text, NOW, &ns))
		fail_msg("'%s' was refused", text);
	return ns;
}

static void refused(const char *text)
{
	uint64_t ns = 7;

	if (when__parse(text, NOW, &ns) != -EINVAL)
		fail_msg("'%s' was taken for %llu", text, (unsigned long long)ns);
}

static void ago(void **state)
{
	assert_int_equal(parsed("now"), NOW);
	assert_int_equal(parsed("15m"), NOW - 900 * SECOND);
	assert_int_equal(parsed("2h"), NOW - 7200 * SECOND);
	assert_int_equal(parsed("7d"), NOW - 7 * 86400 * SECOND);
	/* longer ago than there is time */
	assert_int_equal(parsed("36500d"), 0);
}

static void unix_time(void **state)
{
	assert_int_equal(parsed("1795536000"), NOW);
	assert_int_equal(parsed("1795536000123"), NOW + 123 * SECOND / 1000);
	assert_int_equal(parsed("1795536000123456789"), NOW + 123456789);
	assert_int_equal(parsed("9999999999999999999"), 9999999999999999999ULL);
	refused("17955360001");
	refused("99999999999999999999");
	refused("-1795536000");
}

static void rfc_3339(void **state)
{
	assert_int_equal(parsed("2026-11-24T16:00:00Z"), NOW);
	assert_int_equal(parsed("2026-11-24T16:00:00z"), NOW);
	assert_int_equal(parsed("2026-11-24T17:30:00+01:30"), NOW);
	assert_int_equal(parsed("2026-11-24T06:00:00-10:00"), NOW);
	assert_int_equal(parsed("2026-11-24T16:00Z"), NOW);
	assert_int_equal(parsed("2026-11-24T16:00:00.5Z"), NOW + SECOND / 2);
	assert_int_equal(parsed("2026-11-24T16:00:00.123456789123Z"), NOW + 123456789);
	assert_int_equal(parsed("1970-01-01T00:00:00Z"), 0);
	assert_int_equal(parsed("2024-02-29T00:00:00Z"), 1709164800 * SECOND);
}

/* TZ is set: half an hour off, so that a mistake shows. */
static void local_time(void **state)
{
	setenv("TZ", "XXX-05:30", 1);
	tzset();
	assert_int_equal(parsed("2026-11-24 21:30"), NOW);
	assert_int_equal(parsed("2026-11-24T21:30:07"), NOW + 7 * SECOND);
	assert_int_equal(parsed("2026-11-25"), NOW + 9000 * SECOND);
	/* today */
	assert_int_equal(parsed("21:30"), NOW);
	assert_int_equal(parsed("21:30:00.25"), NOW + SECOND / 4);
	unsetenv("TZ");
	tzset();
}

static void no_time(void **state)
{
	static const char *const wrong[] = {
		"", " ", "yesterday", "15", "m", "-15m", "15 m", "1h30", "2026-11-24T16:00:00 Z",
		"2026-11-24T16:00:00+1:00", "2026-11-24T16:00:00+24:00",
		"2026-11-24T16:00:00+01:60", "2026-11-24T16:00:00+-1:00",
		"2026-11-24T16:00:00+01:00x", "2026-11-24T16:00:00+0100", "2026-11-24T16:00:00.",
		"2026-11-24T16:00:00.Z", "2026-11-24T25:00:00Z", "2026-11-24T16:60:00Z",
		"2026-13-01T00:00:00Z", "2026-02-31T00:00:00Z", "2025-02-29",
		"1969-12-31T23:59:59Z",
		/* beyond 64 bits of nanoseconds */
		"2600-01-01T00:00:00Z", "9999-12-31", "2026-11-24T16:00:00Z2026", "16:00x"
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refused(wrong[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ago),      cmocka_unit_test(unix_time),
		cmocka_unit_test(rfc_3339), cmocka_unit_test(local_time),
		cmocka_unit_test(no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
