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

	if (**text != '.')
		return 0;
	for (++*text; isdigit((unsigned char)**text); ++*text, scale /= 10)
		ns += (uint64_t)(**text - '0') * scale;
	return ns;
}

/* "Z", "+01:00" or nothing (local time). */
static int to_seconds(struct tm *tm, const char *zone, time_t *ret)
{
	int hours, minutes, end = 0;

	if (!*zone) {
		tm->tm_isdst = -1;
		*ret = mktime(tm);
		return 0;
	}
	*ret = timegm(tm);
	if (!strcmp(zone, "Z") || !strcmp(zone, "z"))
		return 0;
	if ((*zone != '+' && *zone != '-') ||
	    sscanf(zone + 1, "%2d:%2d%n", &hours, &minutes, &end) != 2 || zone[1 + end] ||
	    hours > 23 || minutes > 59)
		return -EINVAL;
	*ret -= (*zone == '-' ? -60 : 60) * (hours * 60 + minutes);
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
	if (!end || to_seconds(&tm, end, &seconds) || seconds < 0)
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
