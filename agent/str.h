/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A piece of text that somebody else owns: pointer and length, no NUL at its end. The owner is
 * named where a struct str is handed over; it never outlives the callback that it came with.
 */
#ifndef REQTAP_STR_H
#define REQTAP_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *data;
	size_t len;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })

static inline struct str str_from(const char *text)
{
	return (struct str){ text, text ? strlen(text) : 0 };
}

static inline bool str_equal(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#define STR_HASH 0xcbf29ce484222325ULL /* to begin with */

/* FNV-1a, going on from `hash`. Its low bits are the good ones. */
static inline uint64_t str_hash(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	return hash;
}

#endif
