/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/when.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "agent/option_value.h"

#define SECOND 1000000000ULL

/* 10 digits are seconds until the year 2286, 13 milliseconds, 19 nanoseconds. */
static int parse_number(const char *text, uint64_t *ret_ns)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t scale = digits == 10 ? SECOND : digits == 13 ? 1000000 : digits == 19 ? 1 : 0;

	if (text[digits] || !scale)
		return -EINVAL;
	*ret_ns = strtoull(text, NULL, 10) * scale;
	return 0;
}

/* ".123" behind the seconds; *text goes behind it. */
static uint64_t parse_fraction(const char **text)
{
	uint64_t ns = 0, scale = SECOND / 10;

	if (**text != '.' || !isdigit((unsigned char)(*text)[1]))
		return 0;
	for (++*text; isdigit((unsigned char)**text); ++*text, scale /= 10)
		ns += (uint64_t)(**text - '0') * scale;
	return ns;
}

/* "+01:00" in seconds. */
static int parse_offset(const char *zone, time_t *ret)
{
	static const char form[] = "+00:00";
	int hours, minutes;

	if (strlen(zone) != strlen(form) || zone[3] != ':')
		return -EINVAL;
	for (int i = 1; i < 6; i++)
		if (i != 3 && !isdigit((unsigned char)zone[i]))
			return -EINVAL;
	hours = (zone[1] - '0') * 10 + zone[2] - '0';
	minutes = (zone[4] - '0') * 10 + zone[5] - '0';
	*ret = (*zone == '-' ? -60 : 60) * (hours * 60 + minutes);
	return hours < 24 && minutes < 60 ? 0 : -EINVAL;
}

/* timegm() makes the 3rd of March of the 31st of February. */
static bool is_a_day(const struct tm *tm)
{
	struct tm copy = *tm;

	timegm(&copy);
	return copy.tm_mday == tm->tm_mday || tm->tm_sec == 60;
}

/* "Z", "+01:00" or nothing (local time). */
static int to_seconds(struct tm *tm, const char *zone, time_t *ret)
{
	time_t offset = 0;

	if (!is_a_day(tm))
		return -EINVAL;
	if (!*zone) {
		tm->tm_isdst = -1;
		*ret = mktime(tm);
		return 0;
	}
	*ret = timegm(tm);
	if (strcmp(zone, "Z") != 0 && strcmp(zone, "z") != 0 && parse_offset(zone, &offset))
		return -EINVAL;
	*ret -= offset;
	return 0;
}

static int parse_date(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
	static const char *const formats[] = {
		"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M",
		"%Y-%m-%d",          "%H:%M:%S",          "%H:%M"
	};
	time_t now = (time_t)(now_ns / SECOND), seconds;
	const char *end = NULL;
	uint64_t fraction = 0;
	struct tm tm;

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]) && !end; i++) {
		localtime_r(&now, &tm);
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		end = strptime(text, formats[i], &tm);
		if (end && strstr(formats[i], "%S"))
			fraction = parse_fraction(&end);
		if (end && *end && !strchr("Zz+-", *end))
			end = NULL;
	}
	/* nanoseconds in 64 bits end in the year 2554 */
	if (!end || to_seconds(&tm, end, &seconds) || seconds < 0 ||
	    (uint64_t)seconds >= UINT64_MAX / SECOND)
		return -EINVAL;
	*ret_ns = (uint64_t)seconds * SECOND + fraction;
	return 0;
}

int when__parse(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
	uint64_t ago_ns;

	if (!strcmp(text, "now")) {
		*ret_ns = now_ns;
		return 0;
	}
	if (!parse_number(text, ret_ns))
		return 0;
	if (!option_value__duration(text, &ago_ns)) {
		*ret_ns = ago_ns < now_ns ? now_ns - ago_ns : 0;
		return 0;
	}
	return parse_date(text, now_ns, ret_ns);
}
