/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/option_value.h"

#define OPTIONS_MAX 64
#define HELP_COLUMN 30

int options__variable(const char *name, char *ret, size_t size)
{
	int len;

	while (*name == '-')
		name++;
	len = snprintf(ret, size, "REQTAP_%s", name);
	if (len < 0 || (size_t)len >= size)
		return -ENAMETOOLONG;
	for (; *ret; ret++)
		*ret = *ret == '-' ? '_' : toupper((unsigned char)*ret);
	return 0;
}

static void print_option(const struct option_spec *option)
{
	char left[96];
	int len;

	len = snprintf(left, sizeof(left), "  %c%c%s--%s%s%s", option->letter ? '-' : ' ',
		       option->letter ? option->letter : ' ', option->letter ? ", " : "  ",
		       option->name, option->argument ? " " : "",
		       option->argument ? option->argument : "");
	if (len < HELP_COLUMN)
		printf("%-*s%s\n", HELP_COLUMN, left, option->help);
	else
		printf("%s\n%*s%s\n", left, HELP_COLUMN, "", option->help);
}

static void print_help(const struct command_spec *spec)
{
	bool any = spec->options && spec->options[0].name;

	printf("usage: reqtap %s%s%s%s\n%s\n", spec->name, any ? " [options]" : "",
	       spec->operands[0] ? " " : "", spec->operands, spec->summary);
	if (any)
		printf("\n");
	for (const struct option_spec *option = spec->options; any && option->name; option++)
		print_option(option);
	if (any) {
		char name[64] = "";

		options__variable(spec->options[0].name, name, sizeof(name));
		printf("\nEach option can be set by a variable too: --%s by %s.\n",
		       spec->options[0].name, name);
	}
	if (spec->notes)
		printf("\n%s\n", spec->notes);
}

static int bad_value(const struct command_spec *spec, const char *where, const char *text,
		     const char *right)
{
	fprintf(stderr, "reqtap %s: %s: '%s' is not right: give %s\n", spec->name, where, text,
		right);
	return OPTIONS_BAD;
}

static int parse_environment(const struct command_spec *spec, void *values)
{
	for (const struct option_spec *option = spec->options; option && option->name; option++) {
		char name[64], right[200] = "";
		const char *text;

		if (options__variable(option->name, name, sizeof(name)))
			continue;
		text = getenv(name);
		if (text && *text &&
		    option_value__set_variable(option, text, (char *)values + option->offset, right,
					       sizeof(right)))
			return bad_value(spec, name, text, right);
	}
	return 0;
}

/* getopt's own tables from ours; the value is the index + 1, or 'h' for help. */
static void fill_getopt(const struct command_spec *spec, struct option *longs, char *shorts)
{
	size_t count = 0;

	*shorts++ = spec->operands_last ? '+' : ':';
	if (spec->operands_last)
		*shorts++ = ':';
	for (const struct option_spec *o = spec->options; o && o->name && count < OPTIONS_MAX;
	     o++) {
		bool takes = o->type != OPTION_FLAG;

		longs[count] = (struct option){ o->name, takes ? required_argument : no_argument,
						NULL, 256 + (int)count };
		count++;
		if (o->letter)
			*shorts++ = o->letter;
		if (o->letter && takes)
			*shorts++ = ':';
	}
	longs[count++] = (struct option){ "help", no_argument, NULL, 'h' };
	longs[count] = (struct option){ 0 };
	*shorts++ = 'h';
	*shorts = '\0';
}

static const struct option_spec *find(const struct command_spec *spec, int code)
{
	if (code >= 256)
		return &spec->options[code - 256];
	for (const struct option_spec *option = spec->options; option && option->name; option++)
		if (option->letter == code)
			return option;
	return NULL;
}

static int complain(const struct command_spec *spec, int code, char **argv)
{
	const char *word = argv[optind - 1];

	if (code == ':')
		fprintf(stderr, "reqtap %s: option %s needs a value", spec->name, word);
	else if (optopt >= 256)
		fprintf(stderr, "reqtap %s: option %s takes no value", spec->name, word);
	else if (optopt)
		fprintf(stderr, "reqtap %s: no option -%c", spec->name, optopt);
	else
		fprintf(stderr, "reqtap %s: no option %s", spec->name, word);
	fprintf(stderr, "; see 'reqtap %s --help'\n", spec->name);
	return OPTIONS_BAD;
}

static int set_one(const struct command_spec *spec, int code, void *values, bool *seen)
{
	const struct option_spec *option = find(spec, code);
	char *value = (char *)values + option->offset;
	char right[200] = "", where[64];

	/* the command line replaces a list of the environment, it does not add to it */
	if (option->type == OPTION_LIST && !seen[option - spec->options])
		option_list__clear((struct option_list *)value);
	seen[option - spec->options] = true;
	if (!option_value__set(option, optarg ? optarg : "", value, right, sizeof(right)))
		return 0;
	snprintf(where, sizeof(where), "--%s", option->name);
	return bad_value(spec, where, optarg ? optarg : "", right);
}

static int check_operands(const struct command_spec *spec, int count)
{
	if (count < spec->operands_min)
		fprintf(stderr, "reqtap %s: needs %s; see 'reqtap %s --help'\n", spec->name,
			spec->operands, spec->name);
	else if (spec->operands_max >= 0 && count > spec->operands_max)
		fprintf(stderr, "reqtap %s: too many arguments; see 'reqtap %s --help'\n",
			spec->name, spec->name);
	else
		return 0;
	return OPTIONS_BAD;
}

int options__parse(const struct command_spec *spec, int argc, char **argv, void *values)
{
	struct option longs[OPTIONS_MAX + 2];
	char shorts[2 * OPTIONS_MAX + 4];
	bool seen[OPTIONS_MAX] = { false };
	int code, err = parse_environment(spec, values);

	if (err)
		return err;
	fill_getopt(spec, longs, shorts);
	opterr = 0;
	optind = 0; /* glibc: begin anew */
	while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (code == 'h' && !find(spec, 'h')) {
			print_help(spec);
			return OPTIONS_HELP;
		}
		if (code == '?' || code == ':')
			return complain(spec, code, argv);
		err = set_one(spec, code, values, seen);
		if (err)
			return err;
	}
	err = check_operands(spec, argc - optind);
	return err ? err : optind;
}
