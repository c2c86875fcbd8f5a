/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http2: the request headers of HTTP/2 connections. The kernel cuts the frames and gives each
 * stream its sequence number with the last piece of its headers (bpf/http2.bpf.h); here the blocks
 * are decoded, one table a connection, and the request is announced with its id, as the kernel
 * announces one of HTTP/1.
 *
 * A piece that is missing (the ring was full, a block was too long) costs the connection its older
 * table entries and nothing else; so does a connection, or an agent, that was not there at the
 * start: an id that refers to those is none.
 */
#ifndef REQTAP_AGENT_HTTP2_H
#define REQTAP_AGENT_HTTP2_H

#include <stdint.h>
#include "bpf/event.h"

#define HTTP2_TABLES 1024            /* connections; the one unused longest gives its place */
#define HTTP2_TABLES_BYTES (8 << 20) /* likewise, of all tables */

/* Lives until the function returns. */
typedef void (*http2_fn)(void *ctx, const struct event_request *event);

struct http2_stats {
	uint64_t connections;
	uint64_t bytes; /* of all tables */
	uint64_t streams;
	uint64_t without_id; /* of these */
	uint64_t unknown;    /* of those without, that refer to what was before the table's start */
	uint64_t gaps;       /* pieces were missing */
	uint64_t lost;       /* blocks that were no HPACK */
	uint64_t evicted;    /* tables that gave way */
};

struct http2_decoder;

/* `headers`: names of id headers, lower case, the best first, NULL at the end; the caller's. */
struct http2_decoder *http2_decoder__new(const char *const *headers, http2_fn fn, void *ctx);
struct http2_decoder *http2_decoder__free(struct http2_decoder *decoder);

/* A piece of a HEADERS or CONTINUATION frame, `event->len` bytes of it behind the event. -ENOMEM;
 * -EPROTO: not of this contract. */
int http2_decoder__piece(struct http2_decoder *decoder, const struct event_headers *event);

const struct http2_stats *http2_decoder__stats(const struct http2_decoder *decoder);

#endif
