/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "agent/batch.h"
#include "agent/otlp.h"

#define DEFAULT_MAX_BYTES (2 * 1024 * 1024)
#define DEFAULT_MAX_RECORDS 16384
#define DEFAULT_MAX_AGE_NS 200000000ULL

struct batch {
	struct otlp *otlp;
	struct compressor *compressor;
	struct batch_limits limits;
	enum compression compression;
	payload_fn fn;
	void *ctx;
	uint32_t records;
	uint64_t opened_ns; /* CLOCK_BOOTTIME */
	uint64_t first_ns;  /* UNIX time */
	struct batch_stats stats;
};

struct batch *batch__new(const struct batch_limits *limits, enum compression compression,
			 const char *service_name, payload_fn fn, void *ctx)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	if (limits)
		batch->limits = *limits;
	if (!batch->limits.max_bytes)
		batch->limits.max_bytes = DEFAULT_MAX_BYTES;
	if (!batch->limits.max_records)
		batch->limits.max_records = DEFAULT_MAX_RECORDS;
	if (!batch->limits.max_age_ns)
		batch->limits.max_age_ns = DEFAULT_MAX_AGE_NS;
	batch->compression = compression;
	batch->fn = fn;
	batch->ctx = ctx;
	batch->otlp = otlp__new(service_name);
	batch->compressor = compressor__new();
	return batch->otlp && batch->compressor ? batch : batch__free(batch);
}

struct batch *batch__free(struct batch *batch)
{
	if (!batch)
		return NULL;
	otlp__free(batch->otlp);
	compressor__free(batch->compressor);
	free(batch);
	return NULL;
}

void batch__set_compression(struct batch *batch, enum compression compression)
{
	batch->compression = compression;
}

uint32_t batch__records(const struct batch *batch)
{
	return batch->records;
}

/* An upper bound that costs nothing: keys, tags and ids fit in its constant. */
static size_t size_hint(const struct record *record)
{
	return record->body.len + record->message.len + record->exc_info.len + 512;
}

int batch__add(struct batch *batch, const struct record *record, uint64_t now_ns)
{
	int err;

	if (batch->records >= batch->limits.max_records ||
	    (batch->records &&
	     otlp__len(batch->otlp) + size_hint(record) > batch->limits.max_bytes))
		batch__flush(batch);
	err = otlp__record(batch->otlp, record);
	if (err) {
		batch->stats.lost_records++;
		return err;
	}
	if (!batch->records++) {
		batch->opened_ns = now_ns;
		batch->first_ns = record->time_ns;
	}
	return 0;
}

uint64_t batch__tick(struct batch *batch, uint64_t now_ns)
{
	uint64_t age_ns = batch->limits.max_age_ns;

	if (!batch->records)
		return UINT64_MAX;
	if (batch->records <= BATCH_TRICKLE_RECORDS && age_ns > BATCH_TRICKLE_AGE_NS)
		age_ns = BATCH_TRICKLE_AGE_NS;
	if (now_ns < batch->opened_ns + age_ns)
		return batch->opened_ns + age_ns;
	batch__flush(batch);
	return UINT64_MAX;
}

void batch__discard(struct batch *batch)
{
	batch->records = 0;
	otlp__reset(batch->otlp);
}

int batch__flush(struct batch *batch)
{
	struct payload payload = {
		.records = batch->records,
		.compression = batch->compression,
		.first_ns = batch->first_ns,
	};
	const uint8_t *raw;
	int err;

	if (!batch->records)
		return 0;
	otlp__finish(batch->otlp, &raw, &payload.raw_len);
	err = compressor__run(batch->compressor, batch->compression, raw, payload.raw_len,
			      &payload.data, &payload.len);
	if (!err)
		err = batch->fn(batch->ctx, &payload);
	batch->stats.raw_bytes += payload.raw_len;
	batch->stats.records += batch->records;
	if (err)
		batch->stats.lost_records += batch->records;
	batch__discard(batch);
	return err;
}

const struct batch_stats *batch__stats(const struct batch *batch)
{
	return &batch->stats;
}
