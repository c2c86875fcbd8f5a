/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/db.h"
#include "agent/outbox.h"
#include "agent/spool.h"

#define DEFAULT_MAX_BYTES (1ULL << 30)
#define DEFAULT_MAX_AGE_NS (24 * 3600 * 1000000000ULL)
#define DEFAULT_MEMORY_BYTES (16ULL << 20)
#define DISK_RETRY_NS 1000000000ULL

/* What of a lane is out. */
struct lane {
	int64_t taken; /* 0: none */
	int64_t acked; /* all up to here is done with, also where a full disk refused to delete */
	struct spool_row row;
	uint8_t *data;
};

struct outbox {
	struct outbox_config config;
	char path[PATH_MAX];
	int lock_fd;
	struct spool *disk; /* NULL: none, or not to be opened now */
	struct spool *memory;
	int64_t last_id;
	struct lane lanes[OUTBOX_LANES];
	uint64_t next_try_ns;
	int disk_err; /* why puts go to memory; 0: they do not */
	bool stale;   /* rows that are done with could not be deleted */
	struct outbox_stats stats;
};

__attribute__((format(printf, 2, 3))) static void say(struct outbox *outbox, const char *format,
						      ...)
{
	char line[PATH_MAX + 256];
	va_list args;

	if (!outbox->config.say)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	outbox->config.say(outbox->config.ctx, line);
}

static const char *reason(int err)
{
	return err == -EBADMSG ? "the file is damaged"
	       : err == -EBUSY ? "another reqtap uses it"
			       : strerror(-err);
}

/* The file and its companions get another name: never deleted, a person may want to look. */
static void set_aside(struct outbox *outbox, uint64_t now_ns)
{
	char suffix[48];
	uint64_t lost = outbox->disk ? spool__totals(outbox->disk)->records : 0;

	outbox->disk = spool__close(outbox->disk);
	snprintf(suffix, sizeof(suffix), ".damaged-%llu",
		 (unsigned long long)(now_ns / 1000000000));
	db__move(outbox->path, suffix);
	outbox->stats.set_aside++;
	outbox->stats.lost_damaged += lost;
	say(outbox, "outbox: %s is damaged; set aside as %s%s, %llu records in it", outbox->path,
	    outbox->path, suffix, (unsigned long long)lost);
}

static int open_disk(struct outbox *outbox, uint64_t now_ns)
{
	mode_t mask = umask(0077);
	int err = 0;

	if (outbox->lock_fd < 0)
		outbox->lock_fd = db__lock(outbox->config.dir, "outbox.lock");
	if (outbox->lock_fd < 0)
		err = outbox->lock_fd;
	else
		outbox->disk = spool__open(outbox->path, &err);
	if (err == -EBADMSG) {
		set_aside(outbox, now_ns);
		outbox->disk = spool__open(outbox->path, &err);
	}
	umask(mask);
	if (!err && spool__last_id(outbox->disk) > outbox->last_id)
		outbox->last_id = spool__last_id(outbox->disk);
	return err;
}

static void disk_failed(struct outbox *outbox, int err, uint64_t now_ns)
{
	outbox->stats.disk_faults++;
	if (err == -EBADMSG)
		set_aside(outbox, now_ns);
	if (!outbox->disk_err)
		say(outbox, "outbox: cannot use %s: %s; going on from memory, up to %llu bytes",
		    outbox->path, reason(err), (unsigned long long)outbox->config.memory_bytes);
	outbox->disk_err = err;
	outbox->next_try_ns = now_ns + DISK_RETRY_NS;
}

struct outbox *outbox__new(const struct outbox_config *config, uint64_t now_unix_ns)
{
	struct outbox *outbox = calloc(1, sizeof(*outbox));
	int err;

	if (!outbox)
		return NULL;
	outbox->lock_fd = -1;
	outbox->config = *config;
	if (!outbox->config.max_bytes)
		outbox->config.max_bytes = DEFAULT_MAX_BYTES;
	if (!outbox->config.max_age_ns)
		outbox->config.max_age_ns = DEFAULT_MAX_AGE_NS;
	if (!outbox->config.memory_bytes)
		outbox->config.memory_bytes = DEFAULT_MEMORY_BYTES;
	outbox->memory = spool__open(NULL, &err);
	if (!outbox->memory)
		return outbox__free(outbox);
	if (!config->dir)
		return outbox;
	outbox->config.dir = strdup(config->dir);
	if (!outbox->config.dir)
		return outbox__free(outbox);
	snprintf(outbox->path, sizeof(outbox->path), "%s/outbox.db", config->dir);
	err = open_disk(outbox, now_unix_ns);
	if (err)
		disk_failed(outbox, err, now_unix_ns);
	return outbox;
}

struct outbox *outbox__free(struct outbox *outbox)
{
	if (!outbox)
		return NULL;
	for (unsigned i = 0; i < OUTBOX_LANES; i++)
		free(outbox->lanes[i].data);
	spool__close(outbox->disk);
	spool__close(outbox->memory);
	if (outbox->lock_fd >= 0)
		close(outbox->lock_fd);
	if (*outbox->path)
		free((char *)(uintptr_t)outbox->config.dir);
	free(outbox);
	return NULL;
}

static size_t taken_ids(const struct outbox *outbox, int64_t ret[OUTBOX_LANES])
{
	size_t count = 0;

	for (unsigned i = 0; i < OUTBOX_LANES; i++)
		if (outbox->lanes[i].taken)
			ret[count++] = outbox->lanes[i].taken;
	return count;
}

/* Drops the oldest payload that is not out, if it is older than the time; -ENOENT: none is. */
static int drop_oldest(struct outbox *outbox, struct spool *spool, uint64_t before_ns,
		       uint64_t *counter)
{
	int64_t taken[OUTBOX_LANES];
	size_t count = taken_ids(outbox, taken);
	struct spool_row row;
	int err = spool__oldest(spool, taken, count, &row);

	if (!err && row.first_ns >= before_ns)
		err = -ENOENT;
	if (err)
		return err;
	if (row.id <= outbox->lanes[row.lane].acked)
		return spool__delete(spool, row.id);
	err = spool__drop(spool, &row, taken, count);
	if (!err)
		*counter += row.records;
	return err;
}

static int make_room(struct outbox *outbox, struct spool *spool, size_t len, uint64_t max_bytes)
{
	int err = 0;

	while (!err && spool__totals(spool)->bytes + len + SPOOL_ROW_BYTES > max_bytes)
		err = drop_oldest(outbox, spool, UINT64_MAX, &outbox->stats.dropped_full);
	return err;
}

static int put_row(struct outbox *outbox, struct spool *spool, const struct spool_row *row)
{
	uint64_t max_bytes =
		spool == outbox->memory ? outbox->config.memory_bytes : outbox->config.max_bytes;
	int err = make_room(outbox, spool, row->len, max_bytes);

	/* -ENOENT: all that is left is out; it will be gone before anything grows beyond it. */
	return err && err != -ENOENT ? err : spool__put(spool, row);
}

int outbox__put(struct outbox *outbox, unsigned lane, const struct payload *payload)
{
	struct spool_row row = {
		.lane = lane,
		.first_ns = payload->first_ns,
		.last_ns = payload->first_ns,
		.records = payload->records,
		.raw_len = payload->raw_len,
		.compression = payload->compression,
		.data = payload->data,
		.len = payload->len,
	};
	int err;

	if (payload->len + SPOOL_ROW_BYTES > outbox->config.memory_bytes) {
		outbox->stats.dropped_full += payload->records;
		return -ENOSPC;
	}
	outbox->last_id = (outbox->last_id / SPOOL_STEP + 1) * SPOOL_STEP;
	row.id = outbox->last_id;
	if (outbox->disk && !outbox->disk_err) {
		err = put_row(outbox, outbox->disk, &row);
		if (!err)
			return 0;
		disk_failed(outbox, err, payload->first_ns);
	}
	err = put_row(outbox, outbox->memory, &row);
	if (err)
		outbox->stats.dropped_full += payload->records;
	return err;
}

/* The earlier of the first rows that disk and memory have for the lane. */
static int first_row(struct outbox *outbox, struct lane *lane, unsigned index)
{
	struct spool_row row;
	uint8_t *data;
	int err = spool__first(outbox->memory, index, lane->acked, &lane->row, &lane->data);

	if (err && err != -ENOENT)
		return err;
	if (outbox->disk && spool__first(outbox->disk, index, lane->acked, &row, &data) == 0) {
		if (!err && lane->row.id < row.id) {
			free(data);
			return 0;
		}
		if (!err)
			free(lane->data);
		lane->row = row;
		lane->data = data;
		err = 0;
	}
	return err;
}

int outbox__take(struct outbox *outbox, unsigned index, struct outbox_entry *ret)
{
	struct lane *lane = &outbox->lanes[index];
	int err;

	if (lane->taken)
		return -ENOENT;
	err = first_row(outbox, lane, index);
	if (err)
		return err;
	lane->taken = lane->row.id;
	*ret = (struct outbox_entry){
		.id = (uint64_t)lane->row.id,
		.data = lane->data,
		.len = lane->row.len,
		.raw_len = lane->row.raw_len,
		.records = (uint32_t)lane->row.records,
		.compression = lane->row.compression,
		.first_ns = lane->row.first_ns,
		.last_ns = lane->row.last_ns,
		.dropped_records = lane->row.dropped,
	};
	return 0;
}

void outbox__back(struct outbox *outbox, unsigned index)
{
	struct lane *lane = &outbox->lanes[index];

	lane->taken = 0;
	free(lane->data);
	lane->data = NULL;
}

void outbox__done(struct outbox *outbox, unsigned index)
{
	struct lane *lane = &outbox->lanes[index];

	if (!lane->taken)
		return;
	lane->acked = lane->taken;
	spool__delete(outbox->memory, lane->acked);
	if (outbox->disk && spool__delete(outbox->disk, lane->acked) < 0)
		outbox->stale = true;
	outbox__back(outbox, index);
}

int outbox__split(struct outbox *outbox, unsigned index, const struct payload halves[2])
{
	struct lane *lane = &outbox->lanes[index];
	struct spool_row rows[2];
	int err = -ENOENT;

	for (int i = 0; i < 2; i++) {
		rows[i] = lane->row;
		rows[i].records = halves[i].records;
		rows[i].raw_len = halves[i].raw_len;
		rows[i].compression = halves[i].compression;
		rows[i].data = halves[i].data;
		rows[i].len = halves[i].len;
	}
	if (outbox->disk)
		err = spool__split(outbox->disk, lane->taken, rows);
	if (err)
		err = spool__split(outbox->memory, lane->taken, rows);
	if (!err)
		outbox__back(outbox, index);
	return err;
}

static void drop_all_before(struct outbox *outbox, struct spool *spool, uint64_t unix_ns)
{
	for (unsigned i = 0; spool && i < OUTBOX_LANES; i++) {
		struct spool_row row;
		uint8_t *data;
		int64_t after = outbox->lanes[i].acked;

		while (spool__first(spool, i, after, &row, &data) == 0) {
			free(data);
			after = row.id;
			if (row.first_ns < unix_ns && row.id != outbox->lanes[i].taken &&
			    spool__delete(spool, row.id) == 0)
				outbox->stats.dropped_removed += row.records;
		}
	}
}

void outbox__drop_before(struct outbox *outbox, uint64_t unix_ns)
{
	drop_all_before(outbox, outbox->disk, unix_ns);
	drop_all_before(outbox, outbox->memory, unix_ns);
}

/* Moves one row of memory to the disk under the id that it has. -ENOENT: none is left. */
static int move_one(struct outbox *outbox, unsigned lane)
{
	struct spool_row row;
	uint8_t *data;
	int err = spool__first(outbox->memory, lane, outbox->lanes[lane].acked, &row, &data);

	if (err)
		return err;
	err = put_row(outbox, outbox->disk, &row);
	if (!err)
		err = spool__delete(outbox->memory, row.id);
	free(data);
	return err;
}

static void try_disk(struct outbox *outbox, uint64_t now_ns)
{
	int err = outbox->disk ? 0 : open_disk(outbox, now_ns);

	for (unsigned lane = 0; lane < OUTBOX_LANES && !err; lane++) {
		err = move_one(outbox, lane);
		while (!err)
			err = move_one(outbox, lane);
		if (err == -ENOENT)
			err = 0;
	}
	if (err) {
		disk_failed(outbox, err, now_ns);
		return;
	}
	outbox->disk_err = 0;
	say(outbox, "outbox: %s is usable again", outbox->path);
}

static void age(struct outbox *outbox, struct spool *spool, uint64_t now_ns)
{
	uint64_t before_ns =
		now_ns > outbox->config.max_age_ns ? now_ns - outbox->config.max_age_ns : 0;

	while (spool && drop_oldest(outbox, spool, before_ns, &outbox->stats.dropped_age) == 0)
		;
}

/* 0: the lane's first row was done with and is gone now; -ENOENT: it has none such. */
static int delete_acked(struct outbox *outbox, unsigned lane)
{
	struct spool_row row;
	uint8_t *data;
	int err = spool__first(outbox->disk, lane, 0, &row, &data);

	if (err)
		return err;
	free(data);
	return row.id > outbox->lanes[lane].acked ? -ENOENT : spool__delete(outbox->disk, row.id);
}

static bool disk_is_done_with(struct outbox *outbox)
{
	for (unsigned lane = 0; lane < OUTBOX_LANES; lane++) {
		struct spool_row row;
		uint8_t *data;
		int err = spool__first(outbox->disk, lane, outbox->lanes[lane].acked, &row, &data);

		if (!err)
			free(data);
		if (err != -ENOENT)
			return false;
	}
	return true;
}

static void delete_stale(struct outbox *outbox, uint64_t now_ns)
{
	int err = -ENOENT;

	for (unsigned lane = 0; lane < OUTBOX_LANES && err == -ENOENT && outbox->disk; lane++) {
		do
			err = delete_acked(outbox, lane);
		while (!err);
	}
	/* While the disk is full even reading can fail: try again at the next tick. */
	outbox->stale = err != -ENOENT;
	if (err != -ENOSPC || !disk_is_done_with(outbox))
		return;
	/* The log of a full disk can fill it by itself, so that no delete ever gets through.
	 * All of it has been sent: the file goes instead. */
	outbox->disk = spool__close(outbox->disk);
	db__move(outbox->path, NULL);
	outbox->stale = false;
	err = open_disk(outbox, now_ns);
	if (err)
		disk_failed(outbox, err, now_ns);
}

void outbox__tick(struct outbox *outbox, uint64_t now_unix_ns)
{
	if (outbox->stale)
		delete_stale(outbox, now_unix_ns);
	if (outbox->disk_err && now_unix_ns >= outbox->next_try_ns)
		try_disk(outbox, now_unix_ns);
	age(outbox, outbox->disk, now_unix_ns);
	age(outbox, outbox->memory, now_unix_ns);
}

static uint64_t oldest_ns(struct spool *spool)
{
	struct spool_row row;

	return spool && spool__oldest(spool, NULL, 0, &row) == 0 ? row.first_ns : 0;
}

const struct outbox_stats *outbox__stats(struct outbox *outbox)
{
	const struct spool_totals *memory = spool__totals(outbox->memory);
	struct spool_totals disk = { 0 };
	uint64_t disk_ns = oldest_ns(outbox->disk), memory_ns = oldest_ns(outbox->memory);

	if (outbox->disk)
		disk = *spool__totals(outbox->disk);
	outbox->stats.payloads = disk.rows + memory->rows;
	outbox->stats.records = disk.records + memory->records;
	outbox->stats.bytes = disk.bytes + memory->bytes;
	outbox->stats.memory_bytes = memory->bytes;
	outbox->stats.oldest_ns =
		!disk_ns || (memory_ns && memory_ns < disk_ns) ? memory_ns : disk_ns;
	outbox->stats.on_disk = outbox->disk && !outbox->disk_err;
	return &outbox->stats;
}
