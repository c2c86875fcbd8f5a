/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http2.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include "agent/hpack.h"
#include "bpf/http2.h"

/* One connection, and the block that it is in. */
struct table {
	uint64_t conn;
	uint64_t next; /* number of the piece that follows */
	struct hpack *hpack;
	size_t bytes;  /* as counted in the stats */
	bool stale;    /* entries are missing: begun anew at the next block */
	bool in_block; /* false: its start was not seen, or it was no HPACK */
	uint8_t pad;   /* at the end of the HEADERS frame */
	uint8_t rank;  /* of the id found; RT_HEADERS_MAX: none */
	unsigned unknown;
	struct request found; /* its id and traceparent */
	UT_hash_handle hh;    /* the one unused longest first */
};

struct http2_decoder {
	const char *const *headers;
	http2_fn fn;
	void *ctx;
	struct table *tables;
	struct table *current; /* whose block is being decoded */
	struct http2_stats stats;
};

struct http2_decoder *http2_decoder__new(const char *const *headers, http2_fn fn, void *ctx)
{
	struct http2_decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->headers = headers;
	d->fn = fn;
	d->ctx = ctx;
	return d;
}

static void table_count(struct http2_decoder *d, struct table *table)
{
	size_t bytes = table->hpack ? hpack__bytes(table->hpack) : 0;

	d->stats.bytes += bytes - table->bytes;
	table->bytes = bytes;
}

static void table_free(struct http2_decoder *d, struct table *table)
{
	table->hpack = hpack__free(table->hpack);
	table_count(d, table);
	HASH_DEL(d->tables, table);
	free(table);
	d->stats.connections--;
}

struct http2_decoder *http2_decoder__free(struct http2_decoder *d)
{
	while (d && d->tables)
		table_free(d, d->tables);
	free(d);
	return NULL;
}

/* The connection's table, now the newest used. */
static struct table *table_get(struct http2_decoder *d, uint64_t conn)
{
	struct table *table;

	HASH_FIND(hh, d->tables, &conn, sizeof(conn), table);
	if (table) {
		HASH_DEL(d->tables, table);
		HASH_ADD(hh, d->tables, conn, sizeof(table->conn), table);
		return table;
	}
	table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->conn = conn;
	table->stale = true;
	HASH_ADD(hh, d->tables, conn, sizeof(table->conn), table);
	d->stats.connections++;
	return table;
}

static void make_room(struct http2_decoder *d, const struct table *but)
{
	while (d->tables != but &&
	       (d->stats.connections > HTTP2_TABLES || d->stats.bytes > HTTP2_TABLES_BYTES)) {
		table_free(d, d->tables);
		d->stats.evicted++;
	}
}

/* As in bpf/http.h: opaque text up to a ':', neither blank nor cut. */
static uint16_t take_id(char *to, struct str value)
{
	const char *colon = memchr(value.data, ':', value.len);

	if (colon)
		value.len = colon - value.data;
	if (value.len > RT_ID_MAX)
		return 0;
	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] < 0x21 || value.data[i] > 0x7e)
			return 0;
	memcpy(to, value.data, value.len);
	return value.len;
}

static void on_field(void *ctx, struct str name, struct str value)
{
	struct http2_decoder *d = ctx;
	struct table *table = d->current;

	if (str_equal(name, str_from("traceparent"))) {
		table->found.has_traceparent = value.len == RT_TRACEPARENT_LEN;
		if (table->found.has_traceparent)
			memcpy(table->found.traceparent, value.data, value.len);
	}
	for (uint8_t i = 0; i < table->rank && d->headers && d->headers[i]; i++) {
		if (!str_equal(name, str_from(d->headers[i])))
			continue;
		table->rank = i;
		table->found.id_len = take_id(table->found.id, value);
	}
}

/* A HEADERS frame begins a block. */
static int begin_block(struct table *table, const struct event_headers *event)
{
	if (table->stale || !table->hpack) {
		hpack__free(table->hpack);
		table->hpack = hpack__new(table->stale);
		table->stale = false;
	}
	table->in_block = table->hpack;
	table->rank = RT_HEADERS_MAX;
	table->found.id_len = 0;
	table->found.has_traceparent = 0;
	table->unknown = 0;
	table->pad = event->len && (event->flags & HTTP2_PADDED) ? event->data[0] : 0;
	return table->hpack ? 0 : -ENOMEM;
}

static uint32_t between(uint32_t value, uint32_t low, uint32_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* The part of a piece that is neither padding nor priority. False: the frame is not valid. */
static bool strip(const struct table *table, const struct event_headers *event,
		  struct str *ret_fragment)
{
	bool first = event->type == HTTP2_HEADERS;
	uint32_t front = first ? (event->flags & HTTP2_PADDED ? 1 : 0) +
					 (event->flags & HTTP2_HAS_PRIORITY ? 5 : 0)
			       : 0;
	uint32_t pad = first ? table->pad : 0, end = event->offset + event->len;

	if (front + pad > event->frame_bytes)
		return false;
	front = between(front, event->offset, end);
	end = between(event->frame_bytes - pad, front, end);
	*ret_fragment = (struct str){ event->data + front - event->offset, end - front };
	return true;
}

static void decode(struct http2_decoder *d, struct table *table, const struct event_headers *event)
{
	bool last = (event->flags & HTTP2_END_HEADERS) &&
		    event->offset + event->len == event->frame_bytes;
	struct str fragment;
	unsigned unknown = 0;
	int err = -EPROTO;

	d->current = table;
	if (strip(table, event, &fragment))
		err = hpack__piece(table->hpack, (const uint8_t *)fragment.data, fragment.len, last,
				   on_field, d, &unknown);
	table->unknown += unknown;
	if (err) {
		d->stats.lost++;
		table->stale = true;
		table->found.id_len = 0; /* a later field might have been another id */
		table->found.has_traceparent = 0;
	}
	if (err || last)
		table->in_block = false;
}

/* The piece ends a block that begins a request: it is known now, with or without an id. */
static void announce(struct http2_decoder *d, const struct table *table,
		     const struct event_headers *event)
{
	struct event_request out = { .head = event->head, .request = table->found };
	struct request *r = &out.request;

	out.head.kind = RT_EVENT_REQUEST;
	r->seq = event->seq;
	r->cookie = event->cookie;
	r->container = event->head.container;
	r->begin_ns = event->head.time_ns;
	r->tgid = event->tgid;
	r->tid = event->tid;
	r->state = RT_REQUEST_OPEN;
	r->stream = event->stream;
	if (r->id_len < RT_ID_MAX) /* of an earlier block there may be more */
		memset(r->id + r->id_len, 0, RT_ID_MAX - r->id_len);
	d->stats.streams++;
	d->stats.without_id += !r->id_len;
	d->stats.unknown += !r->id_len && table->unknown;
	d->fn(d->ctx, &out);
}

/* Where the piece stands among those of its connection. */
static void follow(struct http2_decoder *d, struct table *table, const struct event_headers *event)
{
	if (event->number == 0) { /* a new connection; its key may have been an old one's */
		table->hpack = hpack__free(table->hpack);
		table->stale = event->joined;
		table->in_block = false;
	} else if (event->number != table->next) {
		d->stats.gaps += table->next != 0;
		table->stale = true;
		table->in_block = false;
	}
	table->next = event->number + 1;
}

int http2_decoder__piece(struct http2_decoder *d, const struct event_headers *event)
{
	struct table *table;
	int err = 0;

	if (event->offset > event->frame_bytes || event->len > event->frame_bytes - event->offset)
		return -EPROTO;
	table = table_get(d, event->conn);
	if (!table)
		return -ENOMEM;
	if (event->closed) {
		table_free(d, table);
		return 0;
	}
	follow(d, table, event);
	if (event->type == HTTP2_HEADERS && event->offset == 0)
		err = begin_block(table, event);
	if (table->in_block) {
		decode(d, table, event);
	} else {
		table->stale = true; /* what this piece adds to the table is not known */
		table->found.id_len = 0;
		table->found.has_traceparent = 0;
	}
	if (event->seq)
		announce(d, table, event);
	table_count(d, table);
	make_room(d, table);
	return err;
}

const struct http2_stats *http2_decoder__stats(const struct http2_decoder *d)
{
	return &d->stats;
}
