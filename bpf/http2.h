/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * http2: the framing machine for one direction of one HTTP/2 connection (RFC 9113, section 4).
 * Pure: compiled into the BPF programs, the unit tests and the fuzzer.
 *
 * All state is kept in struct http2, so that a frame's head may be split at any byte; payloads are
 * passed over by length. A header block is compressed against all those before it, so it is not
 * decoded here but shipped (bpf/http2.bpf.h). What breaks the rules of framing ends the machine: a
 * wrong boundary would make a request of a body.
 */
#ifndef REQTAP_HTTP2_H
#define REQTAP_HTTP2_H

#include "bpf/http.h"

#define HTTP2_HEAD_BYTES 9
#define HTTP2_GOAWAY_BYTES 13 /* its head, and the stream that its payload begins with */
#define HTTP2_PREFACE_REST 20 /* of "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", behind its first word */
/* FNV-1a of that rest; tests/unit/test_http2.c computes it again. */
#define HTTP2_HASH_PREFACE 0xdbdbff6f0cb1d0ecULL
/* Of one header block, all its frames. What is longer is not shipped (CVE-2024-27316 and its kin);
 * servers take 8 KiB to 1 MiB. */
#define HTTP2_BLOCK_BYTES (64 * 1024)
#define HTTP2_BLOCK_FRAMES 64

enum http2_type {
	HTTP2_DATA,
	HTTP2_HEADERS,
	HTTP2_PRIORITY,
	HTTP2_RST_STREAM,
	HTTP2_SETTINGS,
	HTTP2_PUSH_PROMISE,
	HTTP2_PING,
	HTTP2_GOAWAY,
	HTTP2_WINDOW_UPDATE,
	HTTP2_CONTINUATION,
};

enum http2_flags {
	HTTP2_END_STREAM = 0x1, /* ACK of SETTINGS and PING */
	HTTP2_END_HEADERS = 0x4,
	HTTP2_PADDED = 0x8,
	HTTP2_HAS_PRIORITY = 0x20,
};

enum http2_state {
	HTTP2_PREFACE,
	HTTP2_HEAD,
	HTTP2_PAYLOAD,
	HTTP2_LOST, /* not HTTP/2, or not any more: nothing is read from here on */
};

/* What a frame's end means. */
enum http2_met {
	HTTP2_MET_BLOCK = 1 << 0,  /* a header block is complete */
	HTTP2_MET_END = 1 << 1,    /* the sender's last frame of the stream */
	HTTP2_MET_RESET = 1 << 2,  /* the stream is reset */
	HTTP2_MET_GOAWAY = 1 << 3, /* streams beyond this one were not looked at, nor will be */
};

struct http2 {
	__u64 hash;   /* of the preface; later of GOAWAY: the last stream that was looked at */
	__u32 length; /* the frame's payload */
	__u32 left;   /* of it */
	__u32 stream;
	__u32 block;       /* stream of the open header block; 0: none */
	__u32 block_bytes; /* of all its frames */
	__u16 block_frames;
	__u8 block_flags; /* of the frame that began it */
	__u8 state;
	__u8 have; /* bytes of the preface or head */
	__u8 type;
	__u8 flags;
	__u8 strict; /* joined on its way: only what is surely a frame is one */
	__u32 reserved;
};

/* From the start of a frame, or (`preface`) behind the first word of the preface. */
http_inline void http2__begin(struct http2 *h, int preface, int strict)
{
	h->state = preface ? HTTP2_PREFACE : HTTP2_HEAD;
	h->hash = FNV_BASIS;
	h->length = 0;
	h->left = 0;
	h->stream = 0;
	h->block = 0;
	h->have = 0;
	h->strict = strict;
}

/* The frame begins a header block, or goes on with the open one; 0: neither. */
http_inline int http2_block(struct http2 *h)
{
	if (h->type == HTTP2_CONTINUATION) {
		if (!h->block || h->stream != h->block)
			return 0;
	} else {
		if (h->block || !h->stream)
			return 0;
		h->block = h->stream;
		h->block_flags = h->type == HTTP2_HEADERS ? h->flags : 0;
		h->block_bytes = 0;
		h->block_frames = 0;
	}
	if (h->block_bytes <= HTTP2_BLOCK_BYTES)
		h->block_bytes += h->length; /* of 24 bits */
	if (h->block_frames <= HTTP2_BLOCK_FRAMES)
		h->block_frames++;
	return 1;
}

/* The open block is longer than any that is shipped. */
http_inline int http2__floods(const struct http2 *h)
{
	return h->block_bytes > HTTP2_BLOCK_BYTES || h->block_frames > HTTP2_BLOCK_FRAMES;
}

/* The flags that RFC 9113, section 6, defines for a type. */
http_inline __u8 http2_flags_of(__u8 type)
{
	switch (type) {
	case HTTP2_DATA:
		return HTTP2_END_STREAM | HTTP2_PADDED;
	case HTTP2_HEADERS:
		return HTTP2_END_STREAM | HTTP2_END_HEADERS | HTTP2_PADDED | HTTP2_HAS_PRIORITY;
	case HTTP2_SETTINGS:
	case HTTP2_PING:
		return HTTP2_END_STREAM;
	case HTTP2_PUSH_PROMISE:
		return HTTP2_END_HEADERS | HTTP2_PADDED;
	case HTTP2_CONTINUATION:
		return HTTP2_END_HEADERS;
	default:
		return 0;
	}
}

/* What RFC 9113, section 6, says of each type's stream and length. */
http_inline int http2_frame_valid(struct http2 *h)
{
	__u32 length = h->length, stream = h->stream;

	if (h->strict && (h->type > HTTP2_CONTINUATION || h->flags & ~http2_flags_of(h->type)))
		return 0;
	if (h->type == HTTP2_HEADERS || h->type == HTTP2_PUSH_PROMISE ||
	    h->type == HTTP2_CONTINUATION)
		return http2_block(h);
	if (h->block)
		return 0;
	switch (h->type) {
	case HTTP2_DATA:
		return stream != 0;
	case HTTP2_PRIORITY:
		return stream && length == 5;
	case HTTP2_RST_STREAM:
		return stream && length == 4;
	case HTTP2_SETTINGS:
		return !stream && length % 6 == 0;
	case HTTP2_PING:
		return !stream && length == 8;
	case HTTP2_GOAWAY:
		return !stream && length >= 8;
	case HTTP2_WINDOW_UPDATE:
		return length == 4;
	default:
		return 1; /* an extension */
	}
}

/* The head's nine bytes are there. */
http_inline void http2_head_end(struct http2 *h)
{
	int odd = h->strict && h->stream >> 31; /* the first bit is reserved */

	h->stream &= 0x7fffffff;
	if (odd || !http2_frame_valid(h)) {
		h->state = HTTP2_LOST;
		return;
	}
	h->left = h->length;
	h->hash = 0;
	if (h->type != HTTP2_GOAWAY)
		h->state = HTTP2_PAYLOAD;
}

http_inline void http2_head_byte(struct http2 *h, __u8 c)
{
	__u8 at = h->have++;

	if (at < 3)
		h->length = h->length << 8 | c;
	else if (at == 3)
		h->type = c;
	else if (at == 4)
		h->flags = c;
	else if (at < HTTP2_HEAD_BYTES)
		h->stream = h->stream << 8 | c;
	else
		h->hash = h->hash << 8 | c, h->left--;
	if (at == HTTP2_HEAD_BYTES - 1)
		http2_head_end(h);
	else if (at == HTTP2_GOAWAY_BYTES - 1)
		h->state = HTTP2_PAYLOAD;
}

/* One byte of the preface or of a frame's head: in the states that http2__skips() denies. */
http_inline void http2__byte(struct http2 *h, __u8 c)
{
	if (h->state == HTTP2_HEAD) {
		http2_head_byte(h, c);
		return;
	}
	h->hash = http_hash(h->hash, c);
	if (++h->have < HTTP2_PREFACE_REST)
		return;
	h->have = 0;
	h->state = h->hash == HTTP2_HASH_PREFACE ? HTTP2_HEAD : HTTP2_LOST;
}

/* True in states whose bytes need no look. */
http_inline int http2__skips(const struct http2 *h)
{
	return h->state >= HTTP2_PAYLOAD;
}

/* The frame at hand is of a header block. */
http_inline int http2__in_block(const struct http2 *h)
{
	return h->state == HTTP2_PAYLOAD &&
	       (h->type == HTTP2_HEADERS || h->type == HTTP2_CONTINUATION);
}

/* What a complete frame of the type and flags in `h` means; *ret_stream: for which stream. */
http_inline __u32 http2_frame_end(struct http2 *h, __u32 *ret_stream)
{
	__u32 met = 0;

	*ret_stream = h->stream;
	switch (h->type) {
	case HTTP2_DATA:
		return h->flags & HTTP2_END_STREAM ? HTTP2_MET_END : 0;
	case HTTP2_RST_STREAM:
		return HTTP2_MET_RESET;
	case HTTP2_GOAWAY:
		*ret_stream = h->hash & 0x7fffffff;
		return HTTP2_MET_GOAWAY;
	case HTTP2_HEADERS:
	case HTTP2_CONTINUATION:
		met = HTTP2_MET_BLOCK;
		/* fallthrough */
	case HTTP2_PUSH_PROMISE:
		if (!(h->flags & HTTP2_END_HEADERS))
			return 0;
		*ret_stream = h->block;
		h->block = 0;
		/* PUSH_PROMISE's own flags have no such bit */
		return met && (h->block_flags & HTTP2_END_STREAM) ? met | HTTP2_MET_END : met;
	default:
		return 0;
	}
}

/*
 * Passes over `len` bytes of the payload, at most what is left of it; 0 where a frame has none.
 * Returns enum http2_met: of the frame, when that was all, and *ret_stream is its stream.
 */
http_inline __u32 http2__skip(struct http2 *h, __u32 len, __u32 *ret_stream)
{
	__u32 met;

	*ret_stream = 0;
	if (h->state != HTTP2_PAYLOAD)
		return 0;
	h->left = len < h->left ? h->left - len : 0;
	if (h->left)
		return 0;
	met = http2_frame_end(h, ret_stream);
	h->state = HTTP2_HEAD;
	h->have = 0;
	h->length = 0;
	h->stream = 0;
	return met;
}

#endif
