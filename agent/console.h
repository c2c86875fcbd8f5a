/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console: records for a person (pretty) or a program (json, one object a line), on a FILE.
 */
#ifndef REQTAP_CONSOLE_H
#define REQTAP_CONSOLE_H

#include <stdbool.h>
#include <stdio.h>
#include "agent/record.h"

enum console_format {
	CONSOLE_NONE,
	CONSOLE_PRETTY,
	CONSOLE_JSON,
};

struct console;

/* `colour`: only when `out` is a terminal and NO_COLOR is unset; the caller decides. */
struct console *console__new(FILE *out, enum console_format format, bool colour);
struct console *console__free(struct console *console);

/* Control characters of the message are escaped: a log line is hostile input to a terminal. */
void console__record(struct console *console, const struct record *record);

/* Writes out what is buffered; negative errno when `out` is gone. */
int console__flush(struct console *console);

#endif
