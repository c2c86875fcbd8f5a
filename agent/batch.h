/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch: collects records into one encoded, compressed ExportLogsServiceRequest.
 *
 * A record is encoded when it arrives, straight into the batch's buffer; nothing is kept of it.
 * A batch closes by raw bytes, by count or by age. On close the callback takes the payload.
 */
#ifndef REQTAP_BATCH_H
#define REQTAP_BATCH_H

#include <stdint.h>
#include "agent/compress.h"
#include "agent/record.h"

struct batch_limits {
	uint32_t max_bytes;   /* raw; 0: 2 MiB */
	uint32_t max_records; /* 0: 16384 */
	uint64_t max_age_ns;  /* 0: 200 ms */
};

/* At a trickle nothing is gained by waiting: a batch of so few records closes this early. */
#define BATCH_TRICKLE_RECORDS 8
#define BATCH_TRICKLE_AGE_NS 20000000ULL

struct payload {
	const uint8_t *data; /* the batch's own; lives until the callback returns */
	size_t len;
	size_t raw_len;
	uint32_t records;
	enum compression compression;
	uint64_t first_ns; /* UNIX time of its first record */
};

/* 0, or negative errno: the payload was not taken and its records are counted lost. */
typedef int (*payload_fn)(void *ctx, const struct payload *payload);

struct batch_stats {
	uint64_t records;
	uint64_t raw_bytes;
	uint64_t lost_records; /* no memory to encode them, or the payload was not taken */
};

struct batch;

struct batch *batch__new(const struct batch_limits *limits, enum compression compression,
			 const char *service_name, payload_fn fn, void *ctx);
struct batch *batch__free(struct batch *batch);

/* Of the batches that close from now on. */
void batch__set_compression(struct batch *batch, enum compression compression);

/* Adds a record; closes the batch first when it would be too full. `now_ns`: CLOCK_BOOTTIME. */
int batch__add(struct batch *batch, const struct record *record, uint64_t now_ns);

/* Records that wait. */
uint32_t batch__records(const struct batch *batch);

/* Closes a batch that is old enough; returns when to call again, UINT64_MAX: it is empty. */
uint64_t batch__tick(struct batch *batch, uint64_t now_ns);

/* Closes the batch whatever its age. 0 (also when it is empty) or negative errno. */
int batch__flush(struct batch *batch);

/* Forgets what waits. */
void batch__discard(struct batch *batch);

const struct batch_stats *batch__stats(const struct batch *batch);

#endif
