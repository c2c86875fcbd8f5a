/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/json.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>
#include "agent/level.h"
#include "agent/utf8.h"

struct json_reader {
	jsmntok_t tokens[JSON_TOKENS];
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

/* A string token's text; without escapes it is referenced where it stands. */
static struct str token_text(struct json_reader *reader, struct str line, const jsmntok_t *token)
{
	struct str raw = { line.data + token->start, token->end - token->start };
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

/* One top-level member. */
static void take_member(struct json_reader *reader, struct str line, const jsmntok_t *key,
			const jsmntok_t *value, struct json_line *ret)
{
	struct str name = { line.data + key->start, key->end - key->start };
	bool is_string = value->type == JSMN_STRING;
	struct str raw = { line.data + value->start, value->end - value->start };

	if (str_equal(name, STR("level")) || str_equal(name, STR("levelname")) ||
	    str_equal(name, STR("severity")))
		take_level(ret, raw, is_string);
	else if (!is_string)
		return;
	else if (str_equal(name, STR("message")) ||
		 (!ret->message.data && str_equal(name, STR("msg"))))
		ret->message = token_text(reader, line, value);
	else if (str_equal(name, STR("request_id")))
		ret->request_id = token_text(reader, line, value);
	else if (str_equal(name, STR("exc_info")))
		ret->exc_info = token_text(reader, line, value);
}

int json_reader__line(struct json_reader *reader, struct str line, struct json_line *ret)
{
	jsmn_parser parser;
	int count;

	*ret = (struct json_line){ 0 };
	if (line.len < 2 || line.data[0] != '{' || line.data[line.len - 1] != '}')
		return -EINVAL;
	jsmn_init(&parser);
	count = jsmn_parse(&parser, line.data, line.len, reader->tokens, JSON_TOKENS);
	if (count < 1 || reader->tokens[0].type != JSMN_OBJECT ||
	    reader->tokens[0].end != (int)line.len)
		return -EINVAL;
	reader->used = 0;
	for (int i = 1; i + 1 < count; i++)
		if (reader->tokens[i].parent == 0 && reader->tokens[i].size == 1)
			take_member(reader, line, &reader->tokens[i], &reader->tokens[i + 1], ret);
	return 0;
}
