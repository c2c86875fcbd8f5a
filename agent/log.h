/* SPDX-License-Identifier: Apache-2.0 */
/* log: reqtap's own messages to the person who runs it, one line each on stderr. */
#ifndef REQTAP_LOG_H
#define REQTAP_LOG_H

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* LOG_LEVEL_INFO at first: more than that is not printed. */
void log__set_level(enum log_level level);

/* "reqtap: …"; control characters are replaced, so that a message stays one line. */
void log__write(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log__write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log__write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log__write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log__write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
