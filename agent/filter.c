/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/filter.h"

#include <stdbool.h>

#define SHORT_GRAM 3
#define LONG_GRAM 5
#define MULTIPLIER 0x9e3779b97f4a7c15ULL /* 2^64 / golden ratio: Fibonacci hashing */

/* `gram` has its length in its top byte, so that a short and a long one differ. */
static uint32_t gram_bit(uint64_t gram)
{
	return (uint32_t)((gram * MULTIPLIER >> 32) * FILTER_BITS >> 32);
}

static uint64_t gram_at(const char *text, unsigned len)
{
	uint64_t gram = (uint64_t)len << 56;

	for (unsigned i = 0; i < len; i++)
		gram |= (uint64_t)(unsigned char)text[i] << 8 * i;
	return gram;
}

static void set(struct filter_map *map, uint32_t bit)
{
	map->bits[bit / 8] |= 1 << bit % 8;
}

void filter__add_text(struct filter_map *map, const char *text, size_t len)
{
	uint64_t window = 0;

	/* the last five bytes, the newest on top: the gram's first byte is its lowest */
	for (size_t i = 0; i < len; i++) {
		window = window >> 8 | (uint64_t)(unsigned char)text[i] << 32;
		if (i + 1 >= SHORT_GRAM)
			set(map, gram_bit(window >> 16 | (uint64_t)SHORT_GRAM << 56));
		if (i + 1 >= LONG_GRAM)
			set(map, gram_bit(window | (uint64_t)LONG_GRAM << 56));
	}
}

/* Grams of one length, of a long phrase spread over it. */
static void probe_grams(struct filter_probe *probe, const char *text, size_t len, unsigned gram)
{
	size_t grams = len < gram ? 0 : len - gram + 1;
	unsigned room = FILTER_PROBES_MAX - probe->count;
	unsigned count = grams < room ? (unsigned)grams : room;

	for (unsigned i = 0; i < count; i++)
		probe->bits[probe->count++] = gram_bit(gram_at(text + grams * i / count, gram));
}

void filter__probe_text(struct filter_probe *probe, const char *text, size_t len)
{
	/* long ones first: they tell more. A word of five letters has but one */
	probe->count = 0;
	probe_grams(probe, text, len, LONG_GRAM);
	probe_grams(probe, text, len, SHORT_GRAM);
}

void filter__probe_identity(struct filter_probe *probe, uint32_t identity)
{
	uint64_t h = identity * MULTIPLIER;
	uint32_t row = (uint32_t)((h >> 32) * FILTER_ROWS >> 32);

	probe->count = FILTER_KEY_BITS;
	for (unsigned i = 0; i < FILTER_KEY_BITS; i++) {
		h = (h ^ h >> 31) * MULTIPLIER;
		probe->bits[i] =
			row * FILTER_ROW_WORDS + (uint32_t)((h >> 32) * FILTER_ROW_WORDS >> 32);
	}
}

void filter__add_identity(struct filter_map *map, uint32_t identity)
{
	struct filter_probe probe;

	filter__probe_identity(&probe, identity);
	for (unsigned i = 0; i < probe.count; i++)
		set(map, probe.bits[i]);
}

void filter__transpose(struct filter_matrix *matrix, unsigned slot, const struct filter_map *map)
{
	for (uint32_t byte = 0; byte < FILTER_BYTES; byte++)
		for (unsigned bits = map->bits[byte]; bits; bits &= bits - 1)
			matrix->words[byte * 8 + (unsigned)__builtin_ctz(bits)] |= 1U << slot;
}
