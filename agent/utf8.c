/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>
#include "agent/utf8.h"

#define HIGH_BITS 0x8080808080808080ULL

static bool continues(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

size_t utf8__sequence(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	if (len >= 1 && s[0] < 0x80)
		return 1;
	if (len >= 2 && s[0] >= 0xc2 && s[0] <= 0xdf && continues(s[1]))
		return 2;
	if (len >= 3 && (s[0] & 0xf0) == 0xe0 && continues(s[1]) && continues(s[2])) {
		bool overlong = s[0] == 0xe0 && s[1] < 0xa0;
		bool surrogate = s[0] == 0xed && s[1] > 0x9f;

		return overlong || surrogate ? 0 : 3;
	}
	if (len >= 4 && s[0] >= 0xf0 && s[0] <= 0xf4 && continues(s[1]) && continues(s[2]) &&
	    continues(s[3])) {
		bool overlong = s[0] == 0xf0 && s[1] < 0x90;
		bool beyond = s[0] == 0xf4 && s[1] > 0x8f;

		return overlong || beyond ? 0 : 4;
	}
	return 0;
}

static size_t ascii_len(const char *text, size_t len)
{
	size_t at = 0;
	uint64_t word, words[4];

	for (; at + sizeof(words) <= len; at += sizeof(words)) {
		memcpy(words, text + at, sizeof(words));
		if ((words[0] | words[1] | words[2] | words[3]) & HIGH_BITS)
			break;
	}
	for (; at + sizeof(word) <= len; at += sizeof(word)) {
		memcpy(&word, text + at, sizeof(word));
		if (word & HIGH_BITS)
			break;
	}
	while (at < len && (unsigned char)text[at] < 0x80)
		at++;
	return at;
}

void utf8__mend(char *text, size_t len)
{
	size_t at = 0;

	while ((at += ascii_len(text + at, len - at)) < len) {
		size_t sequence = utf8__sequence(text + at, len - at);

		if (!sequence) {
			text[at] = '?';
			sequence = 1;
		}
		at += sequence;
	}
}
