/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/scan_filter.h"

#include <errno.h>
#include <stdlib.h>
#include "agent/db.h"

static const char row_sql[] = "SELECT words FROM filter WHERE row = ?1";

struct scan_filter {
	sqlite3 *db;
	sqlite3_stmt *row;
	uint32_t words[FILTER_ROW_WORDS];
};

struct scan_filter *scan_filter__new(sqlite3 *db, int *ret_err)
{
	struct scan_filter *filter = calloc(1, sizeof(*filter));
	const char *const sql[] = { row_sql };

	*ret_err = -ENOMEM;
	if (!filter)
		return NULL;
	filter->db = db;
	*ret_err = db__prepare(db, sql, 1, &filter->row);
	return *ret_err ? scan_filter__free(filter) : filter;
}

struct scan_filter *scan_filter__free(struct scan_filter *filter)
{
	if (filter)
		sqlite3_finalize(filter->row);
	free(filter);
	return NULL;
}

/* A row of a segment's filter, whose bits lie at `row` * FILTER_ROW_WORDS. */
static int read_row(struct scan_filter *filter, int64_t first_seq, uint32_t row)
{
	int err;

	sqlite3_bind_int64(filter->row, 1, first_seq * FILTER_ROWS + row);
	err = db__step(filter->row);
	if (!err && sqlite3_column_bytes(filter->row, 0) == sizeof(filter->words))
		memcpy(filter->words, sqlite3_column_blob(filter->row, 0), sizeof(filter->words));
	else if (!err)
		err = -EBADMSG;
	sqlite3_reset(filter->row);
	return err;
}

/* Blocks of the segment in which all bits of the probe are set. */
static int probe_mask(struct scan_filter *filter, const struct filter_probe *probe,
		      int64_t first_seq, uint32_t *ret)
{
	uint32_t row = UINT32_MAX, mask = UINT32_MAX;
	int err = 0;

	for (unsigned i = 0; i < probe->count && mask && !err; i++) {
		uint32_t bit = probe->bits[i];

		if (bit / FILTER_ROW_WORDS != row) {
			row = bit / FILTER_ROW_WORDS;
			err = read_row(filter, first_seq, row);
		}
		mask &= filter->words[bit % FILTER_ROW_WORDS];
	}
	*ret = mask;
	return err;
}

int scan_filter__segment(struct scan_filter *filter, const struct scan_plan *plan,
			 int64_t first_seq, uint32_t *ret)
{
	int err = 0;

	for (unsigned g = 0; g < plan->group_count && *ret && !err; g++) {
		const struct scan_group *group = &plan->groups[g];
		uint32_t any = 0, mask;

		for (unsigned p = 0; p < group->count && !err; p++) {
			err = probe_mask(filter, &group->probes[p], first_seq, &mask);
			any |= mask;
		}
		*ret &= group->count ? any : UINT32_MAX;
	}
	return err;
}

/* A block's map, of which only what is asked for is read. */
struct map {
	sqlite3_blob *blob;
	uint32_t row; /* in `bits`; UINT32_MAX: none yet */
	uint8_t bits[FILTER_ROW_WORDS / 8];
};

static bool map_bit(void *ctx, uint32_t bit)
{
	struct map *map = ctx;
	uint32_t row = bit / FILTER_ROW_WORDS, at = bit % FILTER_ROW_WORDS;

	if (row != map->row && sqlite3_blob_read(map->blob, map->bits, sizeof(map->bits),
						 (int)(row * sizeof(map->bits))) != SQLITE_OK)
		return true;
	map->row = row;
	return map->bits[at / 8] >> at % 8 & 1;
}

bool scan_filter__block(struct scan_filter *filter, const struct scan_plan *plan, int64_t seq)
{
	struct map map = { .row = UINT32_MAX };
	bool hit = true;

	if (!plan->group_count)
		return true;
	if (sqlite3_blob_open(filter->db, "main", "loose", "map", seq, 0, &map.blob) == SQLITE_OK)
		hit = scan_plan__map_hits(plan, map_bit, &map);
	sqlite3_blob_close(map.blob);
	return hit;
}
