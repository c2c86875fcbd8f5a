/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/json.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "agent/level.h"
#include "agent/utf8.h"

struct json_reader {
	size_t used; /* of text */
	char text[JSON_TEXT_BYTES];
};

struct json_reader *json_reader__new(void)
{
	return malloc(sizeof(struct json_reader));
}

struct json_reader *json_reader__free(struct json_reader *reader)
{
	free(reader);
	return NULL;
}

static int hex4(const char *s)
{
	int value = 0;

	for (int i = 0; i < 4; i++) {
		int c = s[i] | 0x20, digit = c >= '0' && c <= '9'   ? c - '0'
					     : c >= 'a' && c <= 'f' ? c - 'a' + 10
								    : -1;

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80)
		return out[0] = c, 1;
	if (c < 0x800)
		return out[0] = 0xc0 | c >> 6, out[1] = 0x80 | (c & 0x3f), 2;
	if (c < 0x10000)
		return out[0] = 0xe0 | c >> 12, out[1] = 0x80 | (c >> 6 & 0x3f),
		       out[2] = 0x80 | (c & 0x3f), 3;
	out[0] = 0xf0 | c >> 18;
	out[1] = 0x80 | (c >> 12 & 0x3f);
	out[2] = 0x80 | (c >> 6 & 0x3f);
	out[3] = 0x80 | (c & 0x3f);
	return 4;
}

/* "\uXXXX" at s[0..], with its low surrogate; a lone half becomes U+FFFD. Returns bytes read. */
static size_t unescape_unicode(const char *s, size_t len, uint32_t *ret)
{
	int high = len >= 6 ? hex4(s + 2) : -1, low;

	*ret = 0xfffd;
	if (high < 0)
		return len < 6 ? len : 6;
	if (high < 0xd800 || high > 0xdfff) {
		*ret = high;
		return 6;
	}
	low = high < 0xdc00 && len >= 12 && s[6] == '\\' && s[7] == 'u' ? hex4(s + 8) : -1;
	if (low < 0xdc00 || low > 0xdfff)
		return 6;
	*ret = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
	return 12;
}

/* A string's text; without escapes it is referenced where it stands. */
static struct str string_text(struct json_reader *reader, struct str raw)
{
	char *out = reader->text + reader->used, *start = out;

	if (!memchr(raw.data, '\\', raw.len) || reader->used + raw.len > JSON_TEXT_BYTES)
		return raw;
	for (size_t i = 0; i < raw.len;) {
		uint32_t c;

		if (raw.data[i] != '\\' || i + 1 >= raw.len) {
			*out++ = raw.data[i++];
			continue;
		}
		if (raw.data[i + 1] == 'u') {
			i += unescape_unicode(raw.data + i, raw.len - i, &c);
			out += put_utf8(out, c); /* never longer than its escape */
			continue;
		}
		switch (raw.data[i + 1]) {
		case 'n':
			*out++ = '\n';
			break;
		case 't':
			*out++ = '\t';
			break;
		case 'r':
			*out++ = '\r';
			break;
		case 'b':
			*out++ = '\b';
			break;
		case 'f':
			*out++ = '\f';
			break;
		default:
			*out++ = raw.data[i + 1];
		}
		i += 2;
	}
	reader->used += out - start;
	return (struct str){ start, out - start };
}

static enum severity numeric_level(struct str value)
{
	/* pino and bunyan: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal */
	static const enum severity levels[] = { SEVERITY_DEBUG, SEVERITY_DEBUG, SEVERITY_INFO,
						SEVERITY_WARN,  SEVERITY_ERROR, SEVERITY_FATAL };

	if (value.len != 2 || value.data[1] != '0' || value.data[0] < '1' || value.data[0] > '6')
		return SEVERITY_UNSET;
	return levels[value.data[0] - '1'];
}

static void take_level(struct json_line *ret, struct str value, bool is_string)
{
	enum severity severity = is_string ? level__from_word(value) : numeric_level(value);

	if (severity)
		ret->severity = severity;
}

/* One top-level member; `value` is a string's inside, or another value as it stands. */
static void take_member(struct json_reader *reader, struct str name, struct str value,
			bool is_string, struct json_line *ret)
{
	if (str_equal(name, STR("level")) || str_equal(name, STR("levelname")) ||
	    str_equal(name, STR("severity")))
		take_level(ret, value, is_string);
	else if (!is_string)
		return;
	else if (str_equal(name, STR("message")) ||
		 (!ret->message.data && str_equal(name, STR("msg"))))
		ret->message = string_text(reader, value);
	else if (str_equal(name, STR("request_id")))
		ret->request_id = string_text(reader, value);
	else if (str_equal(name, STR("exc_info")))
		ret->exc_info = string_text(reader, value);
}

/*
 * The scanner. Each function takes a position in the line and returns the one behind what it
 * read, or NULL when that is no JSON. The line's end is `end`; its last byte is a '}', so that a
 * position before `end` may always be read, and a scan for what can only be before it ends there.
 */
static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
		at++;
	return at;
}

/* Eight bytes at a time: is any of them a quote or a backslash? */
static bool has_special(const char *at)
{
	const uint64_t ones = 0x0101010101010101ULL;
	uint64_t word, quote, slash;

	memcpy(&word, at, sizeof(word));
	quote = word ^ ones * '"';
	slash = word ^ ones * '\\';
	return (((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & ones << 7;
}

/* `at` is behind the opening quote; the closing one is at the returned position - 1. */
static const char *skip_string(const char *at, const char *end)
{
	for (;;) {
		while (end - at >= 8 && !has_special(at))
			at += 8;
		while (at < end && *at != '"' && *at != '\\')
			at++;
		if (at >= end)
			return NULL;
		if (*at++ == '"')
			return at;
		if (at >= end || !*at || !strchr("\"\\/bfnrtu", *at))
			return NULL;
		if (*at == 'u' && (end - at < 5 || hex4(at + 1) < 0))
			return NULL;
		at += *at == 'u' ? 5 : 1;
	}
}

/* A number, true, false or null, by its first character and its end. */
static const char *skip_word(const char *at, const char *end)
{
	if (*at != '-' && !(*at >= '0' && *at <= '9') && *at != 't' && *at != 'f' && *at != 'n')
		return NULL;
	while (at<end && * at> ' ' && !strchr(",]}\":{[", *at))
		at++;
	return at;
}

/* A name and its colon. */
static const char *skip_name(const char *at, const char *end, struct str *ret_name)
{
	at = skip_blanks(at, end);
	if (at >= end || *at++ != '"')
		return NULL;
	ret_name->data = at;
	at = skip_string(at, end);
	if (!at)
		return NULL;
	ret_name->len = at - 1 - ret_name->data;
	at = skip_blanks(at, end);
	return at < end && *at == ':' ? at + 1 : NULL;
}

/* What stands between two values of an object or a list, or behind its last one. */
static const char *skip_closings(const char *at, const char *end, uint64_t *objects, int *depth)
{
	struct str name;

	while (*depth) {
		bool object = *objects & 1;

		at = skip_blanks(at, end);
		if (at >= end)
			return NULL;
		if (*at == ',')
			return object ? skip_name(at + 1, end, &name) : at + 1;
		if (*at++ != (object ? '}' : ']'))
			return NULL;
		*objects >>= 1;
		--*depth;
	}
	return at;
}

/* Any value, with all that is in it: one bit a level says which are objects. */
static const char *skip_value(const char *at, const char *end)
{
	uint64_t objects = 0;
	struct str name;
	int depth = 0;

	do {
		at = skip_blanks(at, end);
		if (at >= end)
			return NULL;
		if (*at == '{' || *at == '[') {
			bool object = *at == '{';

			if (depth++ == JSON_DEPTH)
				return NULL;
			objects = objects << 1 | object;
			at = skip_blanks(at + 1, end);
			if (at < end && *at != (object ? '}' : ']')) {
				at = object ? skip_name(at, end, &name) : at;
				if (!at)
					return NULL;
				continue;
			}
		} else {
			at = *at == '"' ? skip_string(at + 1, end) : skip_word(at, end);
			if (!at)
				return NULL;
		}
		at = skip_closings(at, end, &objects, &depth);
	} while (at && depth);
	return at;
}

static int scan_object(struct json_reader *reader, const char *at, const char *end,
		       struct json_line *ret)
{
	while ((at = skip_blanks(at, end)) < end) {
		struct str name, value;
		bool is_string;

		at = skip_name(at, end, &name);
		if (!at)
			return -EINVAL;
		at = skip_blanks(at, end);
		is_string = at < end && *at == '"';
		value.data = at + is_string;
		at = skip_value(at, end);
		if (!at)
			return -EINVAL;
		value.len = at - is_string - value.data;
		take_member(reader, name, value, is_string, ret);
		at = skip_blanks(at, end);
		if (at == end)
			return 0;
		if (*at++ != ',' || skip_blanks(at, end) == end)
			return -EINVAL;
	}
	return 0;
}

int json_reader__line(struct json_reader *reader, struct str line, struct json_line *ret)
{
	*ret = (struct json_line){ 0 };
	if (line.len < 2 || line.data[0] != '{' || line.data[line.len - 1] != '}')
		return -EINVAL;
	reader->used = 0;
	if (!scan_object(reader, line.data + 1, line.data + line.len - 1, ret))
		return 0;
	*ret = (struct json_line){ 0 };
	return -EINVAL;
}
