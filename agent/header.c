/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/header.h"

#include <ctype.h>
#include <stdint.h>

static uint64_t header_hash(const char *name)
{
	uint64_t hash = FNV_BASIS;

	for (; *name; name++)
		hash = http_hash(hash, tolower((unsigned char)*name));
	return hash;
}

void header__add(struct http_ids *ids, int rank, const char *name)
{
	unsigned letter = tolower((unsigned char)*name) - 'a';

	ids->hash[rank] = header_hash(name);
	if (letter < 26) /* names that begin otherwise are always read */
		ids->first |= 1ULL << letter;
}
