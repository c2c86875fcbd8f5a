/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * http: the byte machine for one direction of one HTTP/1 connection. Pure: compiled into the
 * BPF programs, the unit tests and the fuzzer.
 *
 * All state is kept in struct http, so that a message may be split at any byte. It follows
 * message framing (RFC 9112, section 6) and so never looks for headers in a body. Names are
 * compared by 64-bit FNV-1a of their lower-case bytes: nothing is stored of a name.
 */
#ifndef REQTAP_HTTP_H
#define REQTAP_HTTP_H

#include "bpf/event.h"
#include "bpf/word.h"

#define HTTP_HEAD_MAX (256 * 1024) /* a longer head is not HTTP to us */
#define HTTP_METHOD_MAX 16

#define FNV_BASIS 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL
/* FNV-1a of the names; tests/unit/test_http.c computes them again. */
#define HTTP_HASH_CONTENT_LENGTH 0x2d69a1e6ee916e7dULL
#define HTTP_HASH_TRANSFER_ENCODING 0x8640bd735e9d802cULL
#define HTTP_HASH_TRACEPARENT 0xa22e83ed935e6e5eULL
#define HTTP_HASH_CHUNKED 0xe64e4a5f7769edf3ULL
#define HTTP_HASH_HEAD 0x4b9253d8ff1ee183ULL
#define HTTP_HASH_PRI 0x8d995d19f3fe064aULL /* the preface of HTTP/2 */
#define HTTP_HASH_CONNECT 0xc09b4a14fc824b19ULL

enum http_state {
	HTTP_START, /* between messages */
	HTTP_FIRST, /* in the method, or in "HTTP/x.y " of a response */
	HTTP_STATUS,
	HTTP_LINE, /* rest of the first line */
	HTTP_NAME_START,
	HTTP_NAME,
	HTTP_VALUE_START,
	HTTP_VALUE,
	HTTP_SKIP, /* rest of a line of no interest */
	HTTP_BODY,
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK_EXTENSION,
	HTTP_CHUNK_DATA,
	HTTP_CHUNK_END, /* CRLF after the data */
	HTTP_TRAILER_START,
	HTTP_TRAILER,
	HTTP_UNTIL_CLOSE,
	HTTP_OTHER, /* not HTTP/1, or not any more: nothing is read from here on */
	HTTP_TWO,   /* HTTP/2 from here on: bpf/http2.h */
};

enum http_event {
	HTTP_NONE,
	HTTP_HEAD, /* the head is complete */
	HTTP_END,  /* the body is complete */
};

/* What a header's value is to be used for; ids come first: their index is their rank. */
enum http_header {
	HTTP_ID_LAST = RT_HEADERS_MAX - 1,
	HTTP_CONTENT_LENGTH,
	HTTP_TRANSFER_ENCODING,
	HTTP_TRACEPARENT,
	HTTP_UNKNOWN,
};

struct http {
	__u64 hash;      /* of the method, name or coding being read */
	__u64 body_left; /* of the body or chunk */
	__u32 head_bytes;
	__u16 status;
	__u16 name_len; /* of the method or name being read */
	__u8 state;
	__u8 header; /* enum http_header being read */
	__u8 response;
	__u8 chunked;
	__u8 has_length;
	__u8 bad;     /* a length that is no number */
	__u8 no_body; /* the answer to HEAD: set by the caller before its head ends */
	__u8 method_head;
	__u8 method_connect;
	__u8 id_rank;  /* of the id found; RT_HEADERS_MAX: none */
	__u8 id_bad;   /* too long, or not printable: no id */
	__u8 id_space; /* blanks seen inside the value, kept only when text follows */
};

/* The headers whose value is an id. */
struct http_ids {
	__u64 hash[RT_HEADERS_MAX]; /* of the lower-case name, the best first; 0: none */
	__u64 first;                /* bit n: one begins with the letter 'a' + n */
};

/* What the head of a request yields; the caller's, cleared by http__begin(). */
struct http_found {
	__u16 id_len;
	__u16 traceparent_len;
	__u32 reserved;
	char id[RT_ID_MAX];
	char traceparent[RT_TRACEPARENT_LEN + 1];
};

/* Reads a member as it lies in memory: the verifier forgets what value it was stored with, and
 * so has one path to follow from here, not one per value. */
#define http_reload(member) (*(volatile __typeof__(member) *)&(member))

#define http_inline static inline __attribute__((always_inline))

http_inline __u64 http_hash(__u64 hash, __u8 byte)
{
	return (hash ^ byte) * FNV_PRIME;
}

http_inline __u8 http_lower(__u8 c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

/* Back to between messages. */
http_inline void http__begin(struct http *h, struct http_found *found)
{
	h->state = HTTP_START;
	h->hash = FNV_BASIS;
	h->body_left = 0;
	h->head_bytes = 0;
	h->status = 0;
	h->name_len = 0;
	h->chunked = 0;
	h->has_length = 0;
	h->bad = 0;
	h->no_body = 0;
	h->method_head = 0;
	h->method_connect = 0;
	h->id_rank = RT_HEADERS_MAX;
	h->id_bad = 0;
	h->id_space = 0;
	found->id_len = 0;
	found->traceparent_len = 0;
}

http_inline __u8 http_header_of(__u64 hash, __u8 response, const volatile struct http_ids *ids)
{
	if (hash == HTTP_HASH_CONTENT_LENGTH)
		return HTTP_CONTENT_LENGTH;
	if (hash == HTTP_HASH_TRANSFER_ENCODING)
		return HTTP_TRANSFER_ENCODING;
	if (response)
		return HTTP_UNKNOWN; /* a response's id belongs to somebody else's request */
	if (hash == HTTP_HASH_TRACEPARENT)
		return HTTP_TRACEPARENT;
	for (int i = 0; i < RT_HEADERS_MAX; i++)
		if (ids->hash[i] && ids->hash[i] == hash)
			return i;
	return HTTP_UNKNOWN;
}

/* May the name that begins so be of interest? What is not a letter may. */
http_inline int http_may_matter(const struct http *h, __u8 c, const volatile struct http_ids *ids)
{
	__u8 letter = http_lower(c) - 'a';
	__u64 first = 1 << ('c' - 'a') | 1 << ('t' - 'a');

	if (!h->response)
		first |= ids->first;
	return letter > 25 || (first >> letter & 1);
}

/* What follows a complete head (RFC 9112, section 6.3). */
http_inline enum http_event http_head_end(struct http *h)
{
	int none = h->response &&
		   (h->no_body || h->status == 204 || h->status == 304 || h->status < 200);

	if (h->bad)
		h->state = HTTP_OTHER;
	else if (h->method_connect || h->status == 101)
		h->state = HTTP_OTHER; /* a tunnel from here on */
	else if (none)
		h->state = HTTP_BODY, h->body_left = 0;
	else if (h->chunked)
		h->state = HTTP_CHUNK_SIZE, h->body_left = 0, h->name_len = 0;
	else if (h->has_length || !h->response)
		h->state = HTTP_BODY;
	else
		h->state = HTTP_UNTIL_CLOSE;
	return HTTP_HEAD;
}

http_inline void http_id_byte(struct http *h, struct http_found *found, __u8 c)
{
	__u32 at = found->id_len;

	if (c == ' ' || c == '\t') {
		h->id_space = 1;
		return;
	}
	/* a blank inside, a control or non-ASCII character, or no room: opaque, but not text */
	if (h->id_space || c < 0x21 || c > 0x7e || at >= RT_ID_MAX) {
		h->id_bad = 1;
		return;
	}
	found->id[at & (RT_ID_MAX - 1)] = c;
	found->id_len = at + 1;
}

http_inline void http_value_byte(struct http *h, struct http_found *found, __u8 c)
{
	if (h->header <= HTTP_ID_LAST) {
		if (c == ':')
			h->state = HTTP_SKIP;
		else
			http_id_byte(h, found, c);
	} else if (h->header == HTTP_CONTENT_LENGTH) {
		if (c >= '0' && c <= '9' && h->body_left < (1ULL << 56))
			h->body_left = h->body_left * 10 + (c - '0');
		else if (c != ' ' && c != '\t')
			h->bad = 1;
	} else if (h->header == HTTP_TRANSFER_ENCODING) {
		if (c == ' ' || c == '\t' || c == ',')
			h->hash = FNV_BASIS;
		else
			h->hash = http_hash(h->hash, http_lower(c));
		h->chunked = h->hash == HTTP_HASH_CHUNKED;
	} else if (h->header == HTTP_TRACEPARENT) {
		__u32 at = found->traceparent_len;

		if (at < RT_TRACEPARENT_LEN)
			found->traceparent[at & 63] = c;
		found->traceparent_len = at < 64 ? at + 1 : at;
	}
}

/* Begins a value that matters; a second header of no better rank is passed over. */
http_inline void http_value_begin(struct http *h, struct http_found *found)
{
	__u8 header = http_reload(h->header);

	h->state = HTTP_VALUE_START;
	if (header <= HTTP_ID_LAST) {
		if (header >= h->id_rank) {
			h->state = HTTP_SKIP;
			return;
		}
		h->id_rank = header;
		h->id_bad = 0;
		h->id_space = 0;
		found->id_len = 0;
	} else if (header == HTTP_CONTENT_LENGTH) {
		h->bad |= h->has_length; /* two lengths: not ours to choose (RFC 9112, 6.3) */
		h->has_length = 1;
		h->body_left = 0;
	} else if (header == HTTP_TRANSFER_ENCODING) {
		h->hash = FNV_BASIS;
	} else if (header == HTTP_TRACEPARENT) {
		found->traceparent_len = 0;
	} else {
		h->state = HTTP_SKIP;
	}
}

/* A header without its line, as in HTTP/2: true if http_value_byte() is to have its value. */
http_inline int http__field(struct http *h, struct http_found *found, __u64 name_hash,
			    const volatile struct http_ids *ids)
{
	h->header = http_header_of(name_hash, 0, ids);
	if (h->header > HTTP_ID_LAST && h->header != HTTP_TRACEPARENT)
		return 0;
	http_value_begin(h, found);
	return h->state != HTTP_SKIP;
}

http_inline void http_name_byte(struct http *h, struct http_found *found, __u8 c,
				const volatile struct http_ids *ids)
{
	if (c == '\n') {
		h->state = HTTP_NAME_START; /* a line without a colon */
	} else if (c == ':') {
		h->header = http_header_of(h->hash, h->response, ids);
		http_value_begin(h, found);
	} else {
		h->hash = http_hash(h->hash, http_lower(c));
	}
}

http_inline void http_first_byte(struct http *h, __u8 c)
{
	if (c == ' ') {
		h->method_head = h->hash == HTTP_HASH_HEAD;
		h->method_connect = h->hash == HTTP_HASH_CONNECT;
		h->state = h->response ? HTTP_STATUS : HTTP_LINE;
		if (h->name_len == 0)
			h->state = HTTP_OTHER;
		else if (!h->response && h->hash == HTTP_HASH_PRI)
			h->state = HTTP_TWO;
		return;
	}
	h->hash = http_hash(h->hash, c);
	h->name_len++;
	if (h->name_len > HTTP_METHOD_MAX)
		h->state = HTTP_OTHER;
	/* A method is letters (and "-"); a response begins with "HTTP/1." */
	else if (!h->response && !((c >= 'A' && c <= 'Z') || c == '-'))
		h->state = HTTP_OTHER;
	else if (h->response && h->name_len == 1 && c != 'H')
		h->state = HTTP_OTHER;
}

http_inline void http_status_byte(struct http *h, __u8 c)
{
	if (c >= '0' && c <= '9' && h->status < 100)
		h->status = h->status * 10 + (c - '0');
	else
		h->state = c == '\n' ? HTTP_NAME_START : HTTP_LINE;
}

http_inline void http_chunk_size_byte(struct http *h, __u8 c)
{
	__u8 low = http_lower(c);
	int digit = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;

	if (digit >= 0 && h->body_left < (1ULL << 56)) {
		h->body_left = h->body_left << 4 | digit;
		h->name_len = 1;
	} else if (c == '\n' && h->name_len) {
		h->state = h->body_left ? HTTP_CHUNK_DATA : HTTP_TRAILER_START;
	} else if ((c == ';' || c == ' ' || c == '\t' || c == '\r') && h->name_len) {
		h->state = HTTP_CHUNK_EXTENSION;
	} else {
		h->state = HTTP_OTHER;
	}
}

/* The states inside a head. */
http_inline enum http_event http_head_byte(struct http *h, struct http_found *found, __u8 c,
					   const volatile struct http_ids *ids)
{
	if (++h->head_bytes > HTTP_HEAD_MAX) {
		h->state = HTTP_OTHER;
		return HTTP_NONE;
	}
	switch (h->state) {
	case HTTP_START:
		if (c == '\r' || c == '\n')
			break; /* empty lines before a request are allowed (RFC 9112, 2.2) */
		h->state = HTTP_FIRST;
		http_first_byte(h, c);
		break;
	case HTTP_FIRST:
		http_first_byte(h, c);
		break;
	case HTTP_STATUS:
		http_status_byte(h, c);
		break;
	case HTTP_NAME_START:
		if (c == '\n')
			return http_head_end(h);
		if (c == '\r')
			break;
		h->hash = FNV_BASIS;
		/* a folded line is no header */
		h->state = c == ' ' || c == '\t' || !http_may_matter(h, c, ids) ? HTTP_SKIP
										: HTTP_NAME;
		if (h->state == HTTP_NAME)
			http_name_byte(h, found, c, ids);
		break;
	case HTTP_NAME:
		http_name_byte(h, found, c, ids);
		break;
	case HTTP_VALUE_START:
		if (c == ' ' || c == '\t')
			break;
		h->state = HTTP_VALUE;
		/* fallthrough */
	case HTTP_VALUE:
		if (c == '\n')
			h->state = HTTP_NAME_START;
		else if (c != '\r')
			http_value_byte(h, found, c);
		break;
	default: /* HTTP_LINE, HTTP_SKIP */
		if (c == '\n')
			h->state = HTTP_NAME_START;
		break;
	}
	return HTTP_NONE;
}

/* The states of chunked framing. */
http_inline enum http_event http_chunk_byte(struct http *h, __u8 c)
{
	switch (h->state) {
	case HTTP_CHUNK_SIZE:
		http_chunk_size_byte(h, c);
		break;
	case HTTP_CHUNK_EXTENSION:
		if (c == '\n')
			h->state = h->body_left ? HTTP_CHUNK_DATA : HTTP_TRAILER_START;
		break;
	case HTTP_CHUNK_END:
		if (c == '\n')
			h->state = HTTP_CHUNK_SIZE, h->name_len = 0;
		break;
	case HTTP_TRAILER_START:
		if (c == '\n')
			return HTTP_END;
		h->state = c == '\r' ? HTTP_TRAILER_START : HTTP_TRAILER;
		break;
	case HTTP_TRAILER:
		if (c == '\n')
			h->state = HTTP_TRAILER_START;
		break;
	}
	return HTTP_NONE;
}

/* One byte, in any state but those that http__skip() takes. */
http_inline enum http_event http__byte(struct http *h, struct http_found *found, __u8 c,
				       const volatile struct http_ids *ids)
{
	return h->state < HTTP_BODY ? http_head_byte(h, found, c, ids) : http_chunk_byte(h, c);
}

/* In a line of no interest: passes over what comes before its end. */
http_inline __u32 http_skip_line(struct http *h, __u64 bytes, __u32 len)
{
	__u32 taken = word_before_newline(bytes);

	if (taken > len)
		taken = len;
	h->head_bytes += taken;
	if (h->head_bytes > HTTP_HEAD_MAX)
		h->state = HTTP_OTHER;
	return taken;
}

/* Passes over all eight bytes, in a line of no interest that goes on behind them; else false. */
http_inline int http__passes(struct http *h, __u64 bytes)
{
	if ((h->state != HTTP_LINE && h->state != HTTP_SKIP) || word_newlines(bytes) ||
	    h->head_bytes > HTTP_HEAD_MAX - 8)
		return 0;
	h->head_bytes += 8;
	return 1;
}

/* True in states whose bytes need no look: body, chunk data, until close, other. */
http_inline int http__skips(const struct http *h)
{
	return h->state == HTTP_BODY || h->state == HTTP_CHUNK_DATA || h->state >= HTTP_UNTIL_CLOSE;
}

/*
 * Up to eight bytes, the first lowest, in any state but those that http__skip() takes. Returns how
 * many were taken; it stops behind one that completes something, or that leads to such a state.
 */
http_inline __u32 http__word(struct http *h, struct http_found *found, __u64 bytes, __u32 len,
			     const volatile struct http_ids *ids, enum http_event *ret_event)
{
	enum http_event event = HTTP_NONE;
	__u32 taken = 0;

	if (h->state == HTTP_LINE || h->state == HTTP_SKIP)
		taken = http_skip_line(h, bytes, len);
	bytes = taken < 8 ? bytes >> (taken & 7) * 8 : 0;
	for (int i = 0; i < 8 && taken < 8 && taken < len && event == HTTP_NONE && !http__skips(h);
	     i++, taken++, bytes >>= 8)
		event = http__byte(h, found, bytes & 0xff, ids);
	*ret_event = event;
	return taken;
}

/* Passes over up to `len` bytes in such a state; *ret_taken says how many. */
http_inline enum http_event http__skip(struct http *h, __u64 len, __u64 *ret_taken)
{
	__u64 taken = len;

	if (h->state >= HTTP_UNTIL_CLOSE) {
		*ret_taken = taken;
		return HTTP_NONE;
	}
	if (taken > h->body_left)
		taken = h->body_left;
	h->body_left -= taken;
	*ret_taken = taken;
	if (h->body_left)
		return HTTP_NONE;
	if (h->state == HTTP_CHUNK_DATA) {
		h->state = HTTP_CHUNK_END;
		return HTTP_NONE;
	}
	return HTTP_END;
}

/* The id that the head yielded, if it is one. */
http_inline __u16 http__id_len(const struct http *h, const struct http_found *found)
{
	return h->id_bad ? 0 : found->id_len;
}

#endif
