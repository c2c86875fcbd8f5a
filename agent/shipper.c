/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "agent/otlp.h"
#include "agent/shipper.h"

#define TICK_NS 1000000000ULL

struct lane {
	struct shipper *shipper;
	struct batch *batch;
	unsigned index;
	uint64_t from; /* ring position before the batch's first record */
	bool out;      /* a request of it is in flight */
	uint32_t out_records;
	struct outbox_entry entry;
	uint8_t *notice; /* encoded here, for an entry without data */
};

struct shipper {
	struct loop *loop;
	struct shipper_config config;
	struct loop_timer *batch_timer;
	struct loop_timer *send_timer;
	struct loop_timer *tick_timer;
	struct loop_timer *drain_timer;
	struct outbox *outbox;
	struct export *export; /* NULL: no destination */
	struct compressor *compressor;
	struct lane lanes[OUTBOX_LANES];
	enum compression compression;
	uint32_t max_body_bytes;
	uint64_t position; /* marked last */
	uint64_t durable;  /* told last */
	uint64_t batch_due_ns;
	bool trouble; /* said, and not yet said to be over */
	void (*drained)(void *ctx, uint64_t records_left);
	void *drain_ctx;
	struct shipper_stats stats;
};

static uint64_t unix_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void say(struct shipper *shipper, const char *line)
{
	if (shipper->config.say)
		shipper->config.say(shipper->config.ctx, line);
}

/* Durable is what no lane's open batch still holds. */
static void tell_durable(struct shipper *shipper)
{
	uint64_t position = shipper->position;

	for (unsigned i = 0; i < OUTBOX_LANES; i++)
		if (batch__records(shipper->lanes[i].batch) && shipper->lanes[i].from < position)
			position = shipper->lanes[i].from;
	if (position == shipper->durable)
		return;
	shipper->durable = position;
	if (shipper->config.durable)
		shipper->config.durable(shipper->config.ctx, position);
}

static void send_soon(struct shipper *shipper)
{
	if (shipper->export)
		loop_timer__set(shipper->send_timer, export__ready_ns(shipper->export));
}

static int take_payload(void *ctx, const struct payload *payload)
{
	struct lane *lane = ctx;

	/* What it does not take it has counted. */
	outbox__put(lane->shipper->outbox, lane->index, payload);
	send_soon(lane->shipper);
	return 0;
}

void shipper__record(void *ctx, const struct record *record)
{
	struct shipper *shipper = ctx;
	struct lane *lane = &shipper->lanes[record->replica->container % OUTBOX_LANES];
	uint64_t now_ns = loop__now(shipper->loop);

	if (!shipper->export)
		return;
	shipper->stats.records++;
	batch__add(lane->batch, record, now_ns);
	if (batch__records(lane->batch) != 1)
		return;
	lane->from = shipper->position;
	if (now_ns + BATCH_TRICKLE_AGE_NS < shipper->batch_due_ns) {
		shipper->batch_due_ns = now_ns + BATCH_TRICKLE_AGE_NS;
		loop_timer__set(shipper->batch_timer, shipper->batch_due_ns);
	}
}

void shipper__mark(struct shipper *shipper, uint64_t position)
{
	shipper->position = position;
	tell_durable(shipper);
}

static void flush_batches(struct shipper *shipper)
{
	for (unsigned i = 0; i < OUTBOX_LANES; i++)
		batch__flush(shipper->lanes[i].batch);
	tell_durable(shipper);
}

static void batch_due(void *ctx, uint64_t now_ns)
{
	struct shipper *shipper = ctx;
	uint64_t due_ns = UINT64_MAX;
	bool closed = false;

	for (unsigned i = 0; i < OUTBOX_LANES; i++) {
		struct batch *batch = shipper->lanes[i].batch;
		uint32_t records = batch__records(batch);
		uint64_t lane_ns = batch__tick(batch, now_ns);

		closed = closed || (records > BATCH_TRICKLE_RECORDS && !batch__records(batch));
		if (lane_ns < due_ns)
			due_ns = lane_ns;
	}
	/* All together: what a lane still holds keeps the others' records from being durable, and
	 * after a kill they would be sent twice. */
	if (closed) {
		flush_batches(shipper);
		due_ns = UINT64_MAX;
	}
	shipper->batch_due_ns = due_ns;
	loop_timer__set(shipper->batch_timer, due_ns);
	tell_durable(shipper);
}

/* What the receiver reads where records were dropped. */
static int encode_notice(struct shipper *shipper, struct lane *lane)
{
	static const struct replica nobody;
	char text[256];
	struct record record = {
		.time_ns = lane->entry.first_ns,
		.observed_ns = unix_now(),
		.severity = SEVERITY_WARN,
		.replica = &nobody,
	};
	const uint8_t *data;
	struct otlp *otlp = otlp__new(shipper->config.service_name);
	int err = otlp ? 0 : -ENOMEM;

	snprintf(text, sizeof(text),
		 "reqtap: %" PRIu64 " records were dropped here: the outbox was at its bound",
		 lane->entry.dropped_records);
	record.body = record.message = str_from(text);
	if (!err)
		err = otlp__record(otlp, &record);
	if (!err) {
		otlp__finish(otlp, &data, &lane->entry.len);
		lane->notice = malloc(lane->entry.len);
		if (lane->notice)
			memcpy(lane->notice, data, lane->entry.len);
		lane->entry.data = lane->notice;
		lane->entry.compression = COMPRESSION_NONE;
		err = lane->notice ? 0 : -ENOMEM;
	}
	otlp__free(otlp);
	return err;
}

static void forget_notice(struct lane *lane)
{
	free(lane->notice);
	lane->notice = NULL;
}

/* Halves are compressed one after the other: a compressor has one buffer. */
static int put_halves(struct shipper *shipper, struct lane *lane, const struct otlp_half raw[2])
{
	struct compressor *others[2] = { compressor__new(), compressor__new() };
	struct payload halves[2];
	int err = others[0] && others[1] ? 0 : -ENOMEM;

	for (int i = 0; i < 2 && !err; i++) {
		halves[i] = (struct payload){
			.raw_len = raw[i].len,
			.records = raw[i].records,
			.compression = lane->entry.compression,
			.first_ns = lane->entry.first_ns,
		};
		err = compressor__run(others[i], halves[i].compression, raw[i].data, raw[i].len,
				      &halves[i].data, &halves[i].len);
	}
	if (!err)
		err = outbox__split(shipper->outbox, lane->index, halves);
	compressor__free(others[0]);
	compressor__free(others[1]);
	return err;
}

/* Too large for the receiver: in halves, or, a record alone, not at all. */
static void split(struct shipper *shipper, struct lane *lane)
{
	struct otlp_half raw[2] = { 0 };
	const uint8_t *data;
	size_t len;
	int err = compressor__undo(shipper->compressor, lane->entry.compression, lane->entry.data,
				   lane->entry.len, lane->entry.raw_len, &data, &len);

	if (!err)
		err = otlp__split(data, len, raw);
	if (!err)
		err = put_halves(shipper, lane, raw);
	if (err) {
		shipper->stats.lost_records += lane->entry.records;
		outbox__done(shipper->outbox, lane->index);
	}
	free(raw[0].data);
	free(raw[1].data);
}

/* 0: a request is in flight; -EAGAIN: the lane is to be asked again; -ENOENT: it has nothing. */
static int send_lane(struct shipper *shipper, struct lane *lane)
{
	int err = outbox__take(shipper->outbox, lane->index, &lane->entry);

	if (err)
		return -ENOENT;
	if (!lane->entry.data && encode_notice(shipper, lane) < 0) {
		outbox__back(shipper->outbox, lane->index);
		return -ENOENT;
	}
	if (shipper->max_body_bytes && lane->entry.len > shipper->max_body_bytes) {
		split(shipper, lane);
		return -EAGAIN;
	}
	err = export__post(shipper->export, lane->index, lane->entry.data, lane->entry.len,
			   lane->entry.compression);
	if (err) {
		outbox__back(shipper->outbox, lane->index);
		forget_notice(lane);
		return -ENOENT;
	}
	lane->out = true;
	return 0;
}

static bool is_empty(struct shipper *shipper)
{
	for (unsigned i = 0; i < OUTBOX_LANES; i++)
		if (batch__records(shipper->lanes[i].batch) || shipper->lanes[i].out)
			return false;
	return outbox__stats(shipper->outbox)->payloads == 0;
}

static void end_drain(struct shipper *shipper)
{
	void (*drained)(void *, uint64_t) = shipper->drained;

	shipper->drained = NULL;
	loop_timer__set(shipper->drain_timer, UINT64_MAX);
	drained(shipper->drain_ctx, outbox__stats(shipper->outbox)->records);
}

static void send_due(void *ctx, uint64_t now_ns)
{
	struct shipper *shipper = ctx;

	if (shipper->export && now_ns < export__ready_ns(shipper->export)) {
		send_soon(shipper);
		return;
	}
	for (unsigned i = 0; i < OUTBOX_LANES && shipper->export; i++) {
		struct lane *lane = &shipper->lanes[i];

		/* While it fails, one request at a time finds out whether it still does. */
		if (export__failing(shipper->export) && export__in_flight(shipper->export))
			break;
		while (!lane->out && send_lane(shipper, lane) == -EAGAIN)
			;
	}
	if (shipper->drained && is_empty(shipper))
		end_drain(shipper);
}

static void announce(struct shipper *shipper, const struct export_result *result)
{
	char line[512];

	if (result->verdict == EXPORT_ACCEPTED) {
		if (shipper->trouble)
			say(shipper, "export: the destination accepts records again");
		shipper->trouble = false;
		return;
	}
	if (shipper->trouble || result->verdict == EXPORT_TOO_LARGE)
		return;
	shipper->trouble = true;
	if (result->status)
		snprintf(line, sizeof(line), "export: the destination answers %ld: %s; %s",
			 result->status, result->reason,
			 result->verdict == EXPORT_RETRY ? "trying again" : "records are refused");
	else
		snprintf(line, sizeof(line), "export: no answer: %s; trying again", result->reason);
	say(shipper, line);
}

static void posted(void *ctx, const struct export_result *result)
{
	struct shipper *shipper = ctx;
	struct lane *lane = &shipper->lanes[result->ticket];

	lane->out = false;
	switch (result->verdict) {
	case EXPORT_ACCEPTED:
		shipper->stats.sent_records += lane->entry.records - result->rejected;
		shipper->stats.rejected += result->rejected;
		shipper->stats.latency_ns = result->latency_ns;
		shipper->stats.accepted_ns = loop__now(shipper->loop);
		outbox__done(shipper->outbox, lane->index);
		break;
	case EXPORT_REFUSED:
		shipper->stats.refused += lane->entry.records;
		outbox__done(shipper->outbox, lane->index);
		break;
	case EXPORT_RETRY:
		outbox__back(shipper->outbox, lane->index);
		break;
	case EXPORT_TOO_LARGE:
		split(shipper, lane);
		break;
	}
	forget_notice(lane);
	announce(shipper, result);
	send_soon(shipper);
}

static void tick(void *ctx, uint64_t now_ns)
{
	struct shipper *shipper = ctx;

	outbox__tick(shipper->outbox, unix_now());
	send_soon(shipper);
	loop_timer__set(shipper->tick_timer, now_ns + TICK_NS);
}

static void drain_expired(void *ctx, uint64_t now_ns)
{
	end_drain(ctx);
}

struct shipper *shipper__new(struct loop *loop, const struct shipper_config *config)
{
	struct shipper *shipper = calloc(1, sizeof(*shipper));
	bool complete = true;

	if (!shipper)
		return NULL;
	shipper->loop = loop;
	shipper->config = *config;
	if (!shipper->config.service_name)
		shipper->config.service_name = "baseten";
	shipper->batch_due_ns = UINT64_MAX;
	shipper->batch_timer = loop_timer__new(loop, batch_due, shipper);
	shipper->send_timer = loop_timer__new(loop, send_due, shipper);
	shipper->tick_timer = loop_timer__new(loop, tick, shipper);
	shipper->drain_timer = loop_timer__new(loop, drain_expired, shipper);
	shipper->compressor = compressor__new();
	if (!shipper->config.outbox.say) {
		shipper->config.outbox.say = config->say;
		shipper->config.outbox.ctx = config->ctx;
	}
	shipper->outbox = outbox__new(&shipper->config.outbox, unix_now());
	for (unsigned i = 0; i < OUTBOX_LANES; i++) {
		struct lane *lane = &shipper->lanes[i];

		lane->shipper = shipper;
		lane->index = i;
		lane->batch = batch__new(&config->batch, COMPRESSION_GZIP,
					 shipper->config.service_name, take_payload, lane);
		complete = complete && lane->batch;
	}
	if (!complete || !shipper->batch_timer || !shipper->send_timer || !shipper->tick_timer ||
	    !shipper->drain_timer || !shipper->compressor || !shipper->outbox)
		return shipper__free(shipper);
	loop_timer__set(shipper->tick_timer, loop__now(loop) + TICK_NS);
	return shipper;
}

struct shipper *shipper__free(struct shipper *shipper)
{
	if (!shipper)
		return NULL;
	export__free(shipper->export);
	for (unsigned i = 0; i < OUTBOX_LANES; i++) {
		batch__free(shipper->lanes[i].batch);
		forget_notice(&shipper->lanes[i]);
	}
	outbox__free(shipper->outbox);
	compressor__free(shipper->compressor);
	loop_timer__free(shipper->batch_timer);
	loop_timer__free(shipper->send_timer);
	loop_timer__free(shipper->tick_timer);
	loop_timer__free(shipper->drain_timer);
	free(shipper);
	return NULL;
}

/* Stops at once; what is in batches was taken while there was a destination, and is kept. */
static void disable(struct shipper *shipper)
{
	shipper->export = export__free(shipper->export);
	flush_batches(shipper);
	for (unsigned i = 0; i < OUTBOX_LANES; i++) {
		shipper->lanes[i].out = false;
		outbox__back(shipper->outbox, i);
		forget_notice(&shipper->lanes[i]);
	}
	if (shipper->drained && is_empty(shipper))
		end_drain(shipper);
}

int shipper__set_destination(struct shipper *shipper, const struct destination *destination)
{
	bool enabled = destination && destination->enabled;
	int err = 0;

	if (!enabled)
		disable(shipper);
	if (destination && destination->drop_before_ns)
		outbox__drop_before(shipper->outbox, destination->drop_before_ns);
	if (!enabled)
		return 0;
	if (shipper->export)
		err = export__set_destination(shipper->export, destination);
	else
		shipper->export = export__new(shipper->loop, destination, posted, shipper);
	if (err || !shipper->export)
		return -ENOMEM;
	shipper->max_body_bytes = destination->max_body_bytes;
	for (unsigned i = 0; i < OUTBOX_LANES; i++)
		batch__set_compression(shipper->lanes[i].batch, destination->compression);
	send_soon(shipper);
	return 0;
}

void shipper__drain(struct shipper *shipper, uint64_t deadline_ns,
		    void (*done)(void *ctx, uint64_t records_left), void *ctx)
{
	shipper->drained = done;
	shipper->drain_ctx = ctx;
	flush_batches(shipper);
	loop_timer__set(shipper->drain_timer, deadline_ns);
	/* From the loop, also when there is nothing: `done` is never called from within. */
	loop_timer__set(shipper->send_timer,
			shipper->export ? export__ready_ns(shipper->export) : 0);
	if (!shipper->export)
		loop_timer__set(shipper->drain_timer, 0);
}

void shipper__stats(const struct shipper *shipper, struct shipper_stats *ret)
{
	*ret = shipper->stats;
	for (unsigned i = 0; i < OUTBOX_LANES; i++)
		ret->lost_records += batch__stats(shipper->lanes[i].batch)->lost_records;
	ret->enabled = shipper->export;
	ret->export = shipper->export ? export__stats(shipper->export) : NULL;
	ret->outbox = outbox__stats(shipper->outbox);
}
