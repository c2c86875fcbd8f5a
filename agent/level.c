/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/level.h"

#include <ctype.h>
#include <strings.h>

#define LOOK_BYTES 256 /* a level stands near the start of its line */
#define PREFIX_WORDS 8

struct level_word {
	const char *word;
	enum severity severity;
};

static const struct level_word words[] = {
	{ "trace", SEVERITY_DEBUG }, { "debug", SEVERITY_DEBUG },    { "info", SEVERITY_INFO },
	{ "notice", SEVERITY_INFO }, { "warn", SEVERITY_WARN },      { "warning", SEVERITY_WARN },
	{ "error", SEVERITY_ERROR }, { "err", SEVERITY_ERROR },      { "severe", SEVERITY_ERROR },
	{ "fatal", SEVERITY_FATAL }, { "critical", SEVERITY_FATAL }, { "crit", SEVERITY_FATAL },
	{ "alert", SEVERITY_FATAL }, { "emerg", SEVERITY_FATAL },    { "panic", SEVERITY_FATAL },
};

enum severity level__from_word(struct str word)
{
	if (word.len < 3 || word.len > 8)
		return SEVERITY_UNSET;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i].word) == word.len &&
		    !strncasecmp(words[i].word, word.data, word.len))
			return words[i].severity;
	return SEVERITY_UNSET;
}

static enum severity from_letter(char c)
{
	switch (c) {
	case 'D':
		return SEVERITY_DEBUG;
	case 'I':
		return SEVERITY_INFO;
	case 'W':
		return SEVERITY_WARN;
	case 'E':
		return SEVERITY_ERROR;
	case 'F':
		return SEVERITY_FATAL;
	default:
		return SEVERITY_UNSET;
	}
}

/* ESC [ … letter: colour is no text. */
static void skip_blanks(struct str *s)
{
	while (s->len) {
		size_t n = 0;

		if (s->data[0] == ' ' || s->data[0] == '\t')
			n = 1;
		else if (s->len > 2 && s->data[0] == '\033' && s->data[1] == '[')
			for (n = 2; n < s->len && !isalpha((unsigned char)s->data[n - 1]); n++)
				;
		if (!n)
			return;
		s->data += n;
		s->len -= n;
	}
}

static bool all_upper(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isupper((unsigned char)s.data[i]))
			return false;
	return s.len > 0;
}

/* klog and glog: "I0316 12:00:00.123456". */
static enum severity from_klog(struct str s)
{
	if (s.len < 8 || s.data[5] != ' ' || !isdigit((unsigned char)s.data[6]))
		return SEVERITY_UNSET;
	for (int i = 1; i < 5; i++)
		if (!isdigit((unsigned char)s.data[i]))
			return SEVERITY_UNSET;
	return from_letter(s.data[0]);
}

/* "[INFO]", "[error]", "[I]", tornado's "[I 260316 12:00:00 web:1]"; *ret_len: the bracket's. */
static enum severity from_bracket(struct str s, size_t *ret_len)
{
	const char *end = memchr(s.data, ']', s.len);
	struct str inner;

	*ret_len = 0;
	if (!end)
		return SEVERITY_UNSET;
	*ret_len = end - s.data + 1;
	inner = (struct str){ s.data + 1, *ret_len - 2 };
	while (inner.len && inner.data[inner.len - 1] == ' ')
		inner.len--;
	if (inner.len == 1 ||
	    (inner.len > 2 && inner.data[1] == ' ' && isdigit((unsigned char)inner.data[2])))
		return from_letter(inner.data[0]);
	return level__from_word(inner);
}

/* A word of a timestamp, a separator, a process id: nothing that a sentence begins with. */
static bool is_prefix_word(struct str word)
{
	bool digit = false;

	for (size_t i = 0; i < word.len; i++) {
		if (isdigit((unsigned char)word.data[i]))
			digit = true;
		else if (!strchr("-/:.,+TZ|#", word.data[i]))
			return false;
	}
	return digit || (word.len == 1 && (word.data[0] == '-' || word.data[0] == '|'));
}

static struct str next_word(struct str s)
{
	size_t n = 0;

	while (n < s.len && s.data[n] != ' ' && s.data[n] != '\t' && s.data[n] != '\033')
		n++;
	return (struct str){ s.data, n };
}

/* The letters at the start of a word, where what follows ends a level: "INFO:", "INFO", "WARN]". */
static enum severity from_word(struct str word, bool first)
{
	struct str letters = { word.data, 0 };

	while (letters.len < word.len && isalpha((unsigned char)letters.data[letters.len]))
		letters.len++;
	if (letters.len == word.len || word.data[letters.len] == ':' ||
	    word.data[letters.len] == '|') {
		bool colon = letters.len < word.len;

		if (all_upper(letters) || (first && colon))
			return level__from_word(letters);
	}
	return SEVERITY_UNSET;
}

/* A logger's name between dashes: "2026-… - name - INFO - text". */
static bool is_dashed_name(struct str word, struct str after)
{
	skip_blanks(&after);
	return after.len > 1 && after.data[0] == '-' && after.data[1] == ' ';
}

static enum severity from_logfmt(struct str s)
{
	static const char *const keys[] = { "level=", "lvl=", "severity=" };

	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		const char *at = memmem(s.data, s.len, keys[k], strlen(keys[k]));
		struct str value;

		if (!at || (at > s.data && at[-1] != ' '))
			continue;
		at += strlen(keys[k]);
		value = (struct str){ at, 0 };
		if (at < s.data + s.len && *at == '"')
			value.data++;
		while (value.data + value.len < s.data + s.len &&
		       isalpha((unsigned char)value.data[value.len]))
			value.len++;
		return level__from_word(value);
	}
	return SEVERITY_UNSET;
}

/* Walks the words that may stand before a level. */
static enum severity from_prefix(struct str s)
{
	enum severity found;
	bool dated = false;

	for (int i = 0; i < PREFIX_WORDS; i++) {
		struct str word;
		size_t taken;

		skip_blanks(&s);
		if (!s.len)
			break;
		word = next_word(s);
		taken = word.len;
		if (s.data[0] == '[') {
			found = from_bracket(s, &taken);
		} else if (s.data[0] == '(' && memchr(s.data, ')', s.len)) {
			taken = (const char *)memchr(s.data, ')', s.len) - s.data + 1;
			found = SEVERITY_UNSET; /* vLLM's "(APIServer pid=7)" */
		} else {
			found = from_word(word, i == 0);
			if (!found && dated && word.len == 1)
				found = from_letter(word.data[0]);
			dated |= is_prefix_word(word);
			if (!found && !is_prefix_word(word) &&
			    !(dated &&
			      is_dashed_name(word, (struct str){ s.data + taken, s.len - taken })))
				break;
		}
		if (found || !taken)
			return found;
		s.data += taken;
		s.len -= taken;
	}
	return SEVERITY_UNSET;
}

enum severity level__from_line(struct str line)
{
	enum severity found;

	if (line.len > LOOK_BYTES)
		line.len = LOOK_BYTES;
	skip_blanks(&line);
	found = from_klog(line);
	if (!found)
		found = from_prefix(line);
	return found ? found : from_logfmt(line);
}
