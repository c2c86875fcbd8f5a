/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter: which blocks of records cannot hold what is searched.
 *
 * A block's filter is a bitmap. A text sets a bit for each 3 and each 5 bytes in sequence (in
 * lower case), so that any substring can be asked for; an identity sets FILTER_KEY_BITS bits that
 * lie in one row, so that asking costs one read. No false negatives; of false positives the block
 * itself is the judge. (Request ids are too many for it: keys.h.)
 *
 * The bitmaps of FILTER_BLOCKS blocks are kept transposed: one word per bit position holds that
 * bit of all blocks, so a question reads a few words, however many blocks there are. A row of
 * words fills a database page.
 */
#ifndef REQTAP_FILTER_H
#define REQTAP_FILTER_H

#include <stddef.h>
#include <stdint.h>
#include "agent/str.h"

#define FILTER_BLOCKS 32
#define FILTER_ROW_WORDS 2032 /* 8,128 bytes: a row fits a page of 8 KiB without overflow */
#define FILTER_ROWS 130
#define FILTER_BITS (FILTER_ROWS * FILTER_ROW_WORDS)
#define FILTER_BYTES (FILTER_BITS / 8)
#define FILTER_KEY_BITS 8
#define FILTER_PROBES_MAX 12 /* bits that one question looks at */

/* One block's. */
struct filter_map {
	uint8_t bits[FILTER_BYTES];
};

/* Of FILTER_BLOCKS blocks: bit `slot` of words[b] is bit b of that block's map. */
struct filter_matrix {
	uint32_t words[FILTER_BITS];
};

/* The bits of one question; all of them must be set. */
struct filter_probe {
	uint32_t bits[FILTER_PROBES_MAX];
	unsigned count; /* 0: cannot be asked, any block may hold it */
};

/* `text` is in lower case already. */
void filter__add_text(struct filter_map *map, const char *text, size_t len);
void filter__add_identity(struct filter_map *map, uint32_t identity);

void filter__probe_text(struct filter_probe *probe, const char *text, size_t len);
void filter__probe_identity(struct filter_probe *probe, uint32_t identity);

/* Adds a block's map as `slot`. */
void filter__transpose(struct filter_matrix *matrix, unsigned slot, const struct filter_map *map);

#endif
