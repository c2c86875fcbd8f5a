/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep: what `run` and `agent` do with records besides exporting them: history keeps them, live
 * counts them, and http serves both, wired once.
 *
 *   record ─► history ─► (file) ─► search ─► api ─► http ─► page, `reqtap logs`
 *          └► live ────────────────────────► api
 *
 * With a state directory there is always a UNIX socket in it, which only its owner can open:
 * `reqtap top` asks there. A port is opened only where one is asked for.
 */
#ifndef REQTAP_KEEP_H
#define REQTAP_KEEP_H

#include "agent/history.h"
#include "agent/http.h"
#include "agent/live.h"
#include "agent/loop.h"
#include "agent/options.h"

#define KEEP_SOCKET "reqtap.sock"

/* As the options say; zero but for the state directory is the default. */
struct keep_config {
	const char *state_dir; /* NULL: nothing is kept, and nothing served */
	int history;           /* index into keep_choices: auto, on, off */
	uint64_t max_bytes, max_age_ns;
	const char *listen;              /* NULL: no port */
	const char *token_file;          /* NULL: no token */
	const struct http_route *routes; /* to be served besides; NULL */
};

extern const char *const keep_choices[];

/* Rows of a command's table; `at` is the offset of its struct keep_config. */
#define KEEP_OPTIONS(at)                                                                           \
	{ .name = "history",                                                                       \
	  .type = OPTION_CHOICE,                                                                   \
	  .offset = (at) + offsetof(struct keep_config, history),                                  \
	  .argument = "WHETHER",                                                                   \
	  .choices = keep_choices,                                                                 \
	  .help = "on or off: keep records in the state directory for `reqtap logs` (on)" },       \
		{ .name = "history-bytes",                                                         \
		  .type = OPTION_BYTES,                                                            \
		  .offset = (at) + offsetof(struct keep_config, max_bytes),                        \
		  .argument = "BYTES",                                                             \
		  .min = 1 << 20,                                                                  \
		  .help = "what history may take; the oldest goes first (512M)" },                 \
		{ .name = "history-age",                                                           \
		  .type = OPTION_DURATION,                                                         \
		  .offset = (at) + offsetof(struct keep_config, max_age_ns),                       \
		  .argument = "TIME",                                                              \
		  .min = 1000000000,                                                               \
		  .help = "how long it is kept (7d)" },                                            \
		{ .name = "listen",                                                                \
		  .type = OPTION_TEXT,                                                             \
		  .offset = (at) + offsetof(struct keep_config, listen),                           \
		  .argument = "ADDRESS",                                                           \
		  .help = "serve the page and its API: 8430, 127.0.0.1:8430, [::1]:8430 "          \
			  "(nowhere)" },                                                           \
	{                                                                                          \
		.name = "listen-token-file", .type = OPTION_TEXT,                                  \
		.offset = (at) + offsetof(struct keep_config, token_file), .argument = "FILE",     \
		.help = "the token to ask for; needed beyond loopback"                             \
	}

struct keep;

/* 0, or -EINVAL with the problem said: options that do not go together. */
int keep__check(const struct keep_config *config);

/* NULL: it cannot be; the problem has been said. The config must outlive it. */
struct keep *keep__new(struct loop *loop, const struct keep_config *config);
struct keep *keep__free(struct keep *keep);

/* All accept NULL: nothing is kept. */
void keep__record(struct keep *keep, const struct record *record);
void keep__event(struct keep *keep, const struct event *event);
void keep__lost(struct keep *keep, uint64_t lost);

/* Where the page is; NULL: nowhere. */
const char *keep__url(const struct keep *keep);

/* False: history is off, or cannot be kept. */
bool keep__stats(struct keep *keep, struct history_stats *ret);

#endif
