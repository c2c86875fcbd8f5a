/* SPDX-License-Identifier: Apache-2.0 */
/* format: one record as text, on a FILE. */
#ifndef REQTAP_FORMAT_H
#define REQTAP_FORMAT_H

#include <stdio.h>
#include "agent/record.h"

/* What only history knows of a record. */
struct format_place {
	int64_t seq;      /* its number there */
	uint32_t missing; /* it is a notice of so many */
};

/*
 * One JSON object, without a newline; a member that is not known is absent. With a place it is
 * history's: `timestamp` (UNIX nanoseconds, a string: a number would lose digits), `level`, `seq`
 * and what a line of `run` has no room for come too.
 */
void format__json(FILE *out, const struct record *record, const struct format_place *place);

/* RFC 4180, with its line break. */
void format__csv(FILE *out, const struct record *record);
void format__csv_head(FILE *out);

struct format_style {
	bool colour;
	bool date; /* before the time */
};

/* For a person; with its newline. What would steer a terminal is shown, not sent. */
void format__pretty(FILE *out, const struct record *record, const struct format_style *style);

/* JSON's escapes (RFC 8259, section 7), without the quotes. */
void format__escaped(FILE *out, struct str text);

#endif
