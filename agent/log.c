/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum log_level max_level = LOG_LEVEL_INFO;

void log__set_level(enum log_level level)
{
	max_level = level;
}

void log__write(enum log_level level, const char *format, ...)
{
	static const char *const names[] = { "", "warning: ", "", "debug: " };
	char line[1024];
	size_t head, len;
	va_list args;

	if (level > max_level)
		return;
	head = snprintf(line, sizeof(line), "reqtap: %s", names[level]);
	va_start(args, format);
	vsnprintf(line + head, sizeof(line) - head - 1, format, args);
	va_end(args);
	len = strlen(line);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	line[len++] = '\n';
	/* one write: lines of several processes do not mix */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
