/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the frames of bpf/http2.h and the decoder of agent/http2.h as bpf/http2.bpf.h does, from
 * the bytes of one received direction, however they are split.
 */
#ifndef REQTAP_TESTS_HTTP2_DRIVE_H
#define REQTAP_TESTS_HTTP2_DRIVE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/http2.h"
#include "bpf/http2.h"

struct drive {
	struct http2_decoder *decoder; /* NULL: the frames alone */
	struct http2 h;
	uint64_t conn, pieces, seq;
	uint32_t last_stream;
	uint32_t piece_max; /* 0: as in the kernel */
	bool joined;
	unsigned blocks, begun, ended, resets, floods;
	uint32_t goaway; /* the last stream of it */
	size_t shipped;  /* bytes */
};

static void drive_ship(struct drive *d, const uint8_t *data, uint32_t n, uint64_t seq)
{
	struct event_headers *event = calloc(1, sizeof(*event) + n);

	*event = (struct event_headers){
		.head = { .kind = RT_EVENT_HEADERS, .container = 5, .time_ns = seq },
		.conn = d->conn,
		.cookie = 7,
		.seq = seq,
		.number = d->pieces++,
		.stream = d->h.block,
		.frame_bytes = d->h.length,
		.offset = d->h.length - d->h.left,
		.len = n,
		.type = d->h.type,
		.flags = d->h.flags,
		.joined = d->joined,
	};
	if (n)
		memcpy(event->data, data, n);
	d->shipped += sizeof(*event) + n;
	if (d->decoder && http2_decoder__piece(d->decoder, event))
		abort();
	free(event);
}

static void drive_piece(struct drive *d, const uint8_t *data, uint32_t n)
{
	bool last = n == d->h.left && (d->h.flags & HTTP2_END_HEADERS);
	uint64_t seq = 0;

	if (!n && d->h.length)
		return;
	if (last && (d->h.block & 1) && d->h.block > d->last_stream) {
		d->last_stream = d->h.block;
		seq = ++d->seq;
		d->begun++;
	}
	if (!http2__floods(&d->h)) {
		drive_ship(d, data, n, seq);
		return;
	}
	d->pieces++;
	if (!last)
		return;
	d->floods++;
	drive_ship(d, data, 0, seq);
}

static void drive_met(struct drive *d, uint32_t met, uint32_t stream)
{
	d->blocks += !!(met & HTTP2_MET_BLOCK);
	d->ended += !!(met & HTTP2_MET_END);
	d->resets += !!(met & HTTP2_MET_RESET);
	if (met & HTTP2_MET_GOAWAY)
		d->goaway = stream;
}

/* One step, as http2_scan(): returns the bytes that it took, at least one. */
static size_t drive_step(struct drive *d, const uint8_t *data, size_t len)
{
	uint32_t limit = d->piece_max ? d->piece_max : RT_CLASS_3, stream = 0, n, met;
	size_t taken = 0;

	while (taken < len && taken < 16 && !http2__skips(&d->h))
		http2__byte(&d->h, data[taken++]);
	if (!http2__skips(&d->h))
		return taken;
	if (d->h.state == HTTP2_LOST)
		return len;
	n = len - taken < d->h.left ? len - taken : d->h.left;
	if (http2__in_block(&d->h)) {
		n = n < limit ? n : limit;
		drive_piece(d, data + taken, n);
	}
	met = http2__skip(&d->h, n, &stream);
	drive_met(d, met, stream);
	return taken + n;
}

/* The bytes of a direction, in reads of at most `read`. */
static void drive_bytes(struct drive *d, const uint8_t *data, size_t len, size_t read)
{
	for (size_t at = 0, end; at < len; at = end) {
		end = len - at < read ? len : at + read;
		for (size_t i = at; i < end;) {
			size_t taken = drive_step(d, data + i, end - i);

			if (!taken || taken > end - i)
				abort();
			i += taken;
		}
	}
}

#endif
