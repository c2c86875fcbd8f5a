/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/option_value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit_name {
	const char *name;
	uint64_t factor;
};

static const struct unit_name byte_units[] = {
	{ "", 1 }, { "K", 1ULL << 10 }, { "M", 1ULL << 20 }, { "G", 1ULL << 30 }, { NULL, 0 },
};

static const struct unit_name time_units[] = {
	{ "ns", 1 },
	{ "us", 1000 },
	{ "ms", 1000000 },
	{ "s", 1000000000ULL },
	{ "m", 60 * 1000000000ULL },
	{ "h", 3600 * 1000000000ULL },
	{ "d", 86400 * 1000000000ULL },
	{ NULL, 0 },
};

static const struct unit_name no_units[] = { { "", 1 }, { NULL, 0 } };

static int parse_number(const char *text, const struct unit_name *units, uint64_t *ret)
{
	char *end;
	uint64_t number;

	/* strtoull takes signs and blanks: -1 would be 18446744073709551615 */
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	for (; units->name; units++) {
		if (strcasecmp(end, units->name) != 0)
			continue;
		return __builtin_mul_overflow(number, units->factor, ret) ? -ERANGE : 0;
	}
	return -EINVAL;
}

int option_value__bytes(const char *text, uint64_t *ret)
{
	return parse_number(text, byte_units, ret);
}

int option_value__duration(const char *text, uint64_t *ret)
{
	if (!strcmp(text, "0")) {
		*ret = 0;
		return 0;
	}
	return parse_number(text, time_units, ret);
}

/* The largest unit that divides it, so that --help and errors say 256K, not 262144. */
static void print_number(uint64_t number, const struct unit_name *units, char *ret, size_t size)
{
	const struct unit_name *best = &units[0];

	for (; units->name; units++)
		if (number && number % units->factor == 0)
			best = units;
	snprintf(ret, size, "%" PRIu64 "%s", number / best->factor, number ? best->name : "");
}

static int set_number(const struct option_spec *spec, const char *text,
		      const struct unit_name *units, const char *what, uint64_t *value, char *right,
		      size_t size)
{
	uint64_t number = 0;
	int err = units == time_units ? option_value__duration(text, &number)
				      : parse_number(text, units, &number);
	char low[32], high[32];

	if (!err && number >= spec->min && (!spec->max || number <= spec->max)) {
		*value = number;
		return 0;
	}
	print_number(spec->min, units, low, sizeof(low));
	print_number(spec->max, units, high, sizeof(high));
	if (spec->max)
		snprintf(right, size, "%s from %s to %s", what, low, high);
	else
		snprintf(right, size, "%s, at least %s", what, low);
	return err ? err : -ERANGE;
}

static int set_choice(const struct option_spec *spec, const char *text, int *value, char *right,
		      size_t size)
{
	size_t len = 0;

	for (int i = 0; spec->choices[i]; i++)
		if (!strcmp(text, spec->choices[i])) {
			*value = i;
			return 0;
		}
	right[0] = '\0';
	for (int i = 0; spec->choices[i] && len < size; i++)
		len += snprintf(right + len, size - len, "%s%s", i ? ", " : "one of ",
				spec->choices[i]);
	return -EINVAL;
}

static int add_to_list(struct option_list *list, const char *text, char *right, size_t size)
{
	if (list->count == OPTION_LIST_MAX) {
		snprintf(right, size, "at most %d of them", OPTION_LIST_MAX);
		return -E2BIG;
	}
	list->items[list->count++] = text;
	list->items[list->count] = NULL;
	return 0;
}

void option_list__clear(struct option_list *list)
{
	free(list->storage);
	*list = (struct option_list){ 0 };
}

int option_value__set(const struct option_spec *spec, const char *text, void *value,
		      char *ret_right, size_t size)
{
	const char *right = spec->check ? spec->check(text) : NULL;

	if (right) {
		snprintf(ret_right, size, "%s", right);
		return -EINVAL;
	}
	switch (spec->type) {
	case OPTION_FLAG:
		*(bool *)value = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)value = text;
		return 0;
	case OPTION_LIST:
		return add_to_list(value, text, ret_right, size);
	case OPTION_NUMBER:
		return set_number(spec, text, no_units, "a number", value, ret_right, size);
	case OPTION_BYTES:
		return set_number(spec, text, byte_units, "a size like 64K or 16M", value,
				  ret_right, size);
	case OPTION_DURATION:
		return set_number(spec, text, time_units, "a time like 500ms, 10s or 15m", value,
				  ret_right, size);
	case OPTION_CHOICE:
		return set_choice(spec, text, value, ret_right, size);
	}
	return -EINVAL;
}

static int set_flag_variable(const char *text, bool *value, char *right, size_t size)
{
	static const char *const yes[] = { "1", "true", "yes", "on" };
	static const char *const no[] = { "0", "false", "no", "off" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (!strcasecmp(text, yes[i]) || !strcasecmp(text, no[i])) {
			*value = !strcasecmp(text, yes[i]);
			return 0;
		}
	}
	snprintf(right, size, "true or false");
	return -EINVAL;
}

int option_value__set_variable(const struct option_spec *spec, const char *text, void *value,
			       char *ret_right, size_t size)
{
	struct option_list *list = value;
	char *item, *rest;
	int err = 0;

	if (spec->type == OPTION_FLAG)
		return set_flag_variable(text, value, ret_right, size);
	if (spec->type != OPTION_LIST)
		return option_value__set(spec, text, value, ret_right, size);
	list->storage = strdup(text);
	if (!list->storage)
		return -ENOMEM;
	rest = list->storage;
	while (!err && (item = strsep(&rest, ",")))
		if (*item)
			err = option_value__set(spec, item, list, ret_right, size);
	return err;
}
