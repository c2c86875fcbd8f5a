/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: what a JSON log line says of itself. Both shapes of the platform's guides: Truss
 * (asctime, levelname, message, exc_info, request_id) and custom servers (level, message,
 * request_id); numeric levels of pino and bunyan.
 */
#ifndef REQTAP_JSON_H
#define REQTAP_JSON_H

#include "agent/record.h"

#define JSON_DEPTH 64                /* a line with values deeper than this is plain text to us */
#define JSON_TEXT_BYTES (256 * 1024) /* room for unescaped text of one line */

struct json_line {
	struct str message; /* data NULL: there is none */
	struct str request_id;
	struct str exc_info;
	enum severity severity;
};

struct json_reader;

struct json_reader *json_reader__new(void);
struct json_reader *json_reader__free(struct json_reader *reader);

/* 0, or -EINVAL: not one JSON object. `ret` lives until the next call, or as long as `line`. */
int json_reader__line(struct json_reader *reader, struct str line, struct json_line *ret);

#endif
