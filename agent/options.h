/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: one table per command says its options; the parser, the environment variables and
 * --help all read the table.
 *
 * `--state-dir DIR` may be given as REQTAP_STATE_DIR=DIR; the command line wins. The values go
 * into a struct of the command's own, which holds the defaults before the call.
 */
#ifndef REQTAP_OPTIONS_H
#define REQTAP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTION_LIST_MAX 16

enum option_type {
	OPTION_FLAG,     /* bool; in the environment 1, true, yes, on or 0, false, no, off */
	OPTION_TEXT,     /* const char *: argv's or the environment's own */
	OPTION_LIST,     /* struct option_list: given several times; with commas in a variable */
	OPTION_NUMBER,   /* uint64_t */
	OPTION_BYTES,    /* uint64_t; 64M, 256K: powers of 1024 */
	OPTION_DURATION, /* uint64_t nanoseconds; 500ms, 1s, 15m, 2h, 7d */
	OPTION_CHOICE,   /* int: index into `choices` */
};

/* NULL-terminated; option_list__clear() frees what a variable needed. */
struct option_list {
	const char *items[OPTION_LIST_MAX + 1];
	unsigned count;
	char *storage;
};

void option_list__clear(struct option_list *list);

struct option_spec {
	const char *name; /* without the dashes; NULL ends the table */
	char letter;      /* 0: none */
	enum option_type type;
	size_t offset;                          /* of the value in the command's struct */
	const char *argument;                   /* its name in --help */
	uint64_t min, max;                      /* numbers, bytes, durations; max 0: no limit */
	const char *const *choices;             /* NULL-terminated */
	const char *(*check)(const char *text); /* NULL, or what would be right; may be NULL */
	const char *help;
};

struct command_spec {
	const char *name;     /* "run"; "connection set" */
	const char *operands; /* "[--] COMMAND [ARG]..."; "" */
	const char *summary;
	const char *notes; /* printed at the end of --help, or NULL */
	const struct option_spec *options;
	bool operands_last;             /* the first operand ends the options: they are COMMAND's */
	int operands_min, operands_max; /* max -1: no limit */
};

/*
 * Returns the index of the first operand in argv, which may be reordered (operands last). Or,
 * having said all there is to say, a negative result: the command returns OPTIONS_STATUS(result).
 */
#define OPTIONS_HELP (-1)
#define OPTIONS_BAD (-2)
#define OPTIONS_STATUS(result) ((result) == OPTIONS_HELP ? 0 : 2)

int options__parse(const struct command_spec *spec, int argc, char **argv, void *values);

/* "--state-dir" or "state-dir" as "REQTAP_STATE_DIR". 0 or -ENAMETOOLONG. */
int options__variable(const char *name, char *ret, size_t size);

#endif
