/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/console.h"

#include <errno.h>
#include <stdlib.h>
#include "agent/format.h"

struct console {
	FILE *out;
	enum console_format format;
	struct format_style style;
};

struct console *console__new(FILE *out, enum console_format format, bool colour)
{
	struct console *console = calloc(1, sizeof(*console));

	if (!console)
		return NULL;
	console->out = out;
	console->format = format;
	console->style.colour = colour;
	return console;
}

struct console *console__free(struct console *console)
{
	free(console);
	return NULL;
}

void console__record(struct console *console, const struct record *record)
{
	if (console->format == CONSOLE_JSON) {
		format__json(console->out, record, NULL);
		putc_unlocked('\n', console->out);
	} else if (console->format == CONSOLE_PRETTY) {
		format__pretty(console->out, record, &console->style);
	}
}

int console__flush(struct console *console)
{
	if (fflush(console->out) || ferror(console->out))
		return errno ? -errno : -EIO;
	return 0;
}
