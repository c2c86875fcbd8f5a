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
#include "agent/record.h"

struct batch_limits {
	uint32_t max_bytes;   /* raw; 0: 4 MiB */
	uint32_t max_records; /* 0: 32768 */
	uint64_t max_age_ns;  /* 0: 200 ms */
};

enum compression {
	COMPRESSION_NONE,
	COMPRESSION_GZIP,
	COMPRESSION_ZSTD,
};

struct payload {
	const uint8_t *data; /* the batch's own; lives until the callback returns */
	size_t len;
	size_t raw_len;
	uint32_t records;
	enum compression compression;
	uint64_t first_ns; /* UNIX time of its oldest record */
	uint64_t position; /* ring position that is durable once this payload is */
};

/* 0, or negative errno: the payload was not taken and its records are counted lost. */
typedef int (*payload_fn)(void *ctx, const struct payload *payload);

struct batch;

struct batch *batch__new(const struct batch_limits *limits, enum compression compression,
			 const char *service_name, payload_fn fn, void *ctx);
struct batch *batch__free(struct batch *batch);

/* Adds a record; closes the batch first when it is full. `now_ns`: CLOCK_BOOTTIME. */
int batch__add(struct batch *batch, const struct record *record, uint64_t now_ns);

/* All before `position` in the ring has been added: kept for the next payload. */
void batch__mark(struct batch *batch, uint64_t position);

/* Closes a batch that is old enough; returns when to call again, UINT64_MAX: it is empty. */
uint64_t batch__tick(struct batch *batch, uint64_t now_ns);

/* Closes the batch whatever its age. */
int batch__flush(struct batch *batch);

#endif
