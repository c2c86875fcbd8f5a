/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * fastcgi: the byte machine for one direction of a FastCGI connection (FastCGI 1.0, sections 3
 * and 5). Pure: compiled into the BPF programs, the unit tests and the fuzzer.
 *
 * All state is kept in struct fastcgi, so that a connection may be split at any byte. Parameters
 * are headers in another spelling: HTTP_X_REQUEST_ID is compared as x-request-id (RFC 3875,
 * section 4.1.18), by the hashes of bpf/http.h, whose rules for values hold here too. Requests
 * that share a connection at a time are not followed: no server that is known takes them.
 */
#ifndef REQTAP_FASTCGI_H
#define REQTAP_FASTCGI_H

#include "bpf/http.h"

#define FASTCGI_VERSION 1
#define FASTCGI_HEAD_MAX HTTP_HEAD_MAX

enum fastcgi_type {
	FASTCGI_BEGIN_REQUEST = 1,
	FASTCGI_ABORT_REQUEST = 2,
	FASTCGI_END_REQUEST = 3,
	FASTCGI_PARAMS = 4,
	FASTCGI_STDIN = 5,
	FASTCGI_STDOUT = 6,
	FASTCGI_STDERR = 7,
};

enum fastcgi_state {
	FASTCGI_OFF, /* another protocol */
	FASTCGI_RECORD,
	FASTCGI_CONTENT, /* passed over */
	FASTCGI_PAIRS,   /* the content of FASTCGI_PARAMS */
	FASTCGI_PADDING,
	FASTCGI_LOST, /* not FastCGI after all, or not to be followed */
};

/* Where in a pair the next byte of FASTCGI_PAIRS is. */
enum fastcgi_pair {
	FASTCGI_NAME_LEN,
	FASTCGI_VALUE_LEN,
	FASTCGI_NAME,
	FASTCGI_VALUE,
};

struct fastcgi {
	__u32 left; /* of the content, or of the padding */
	__u32 name_left;
	__u32 value_left;
	__u32 head_bytes; /* of the parameters */
	__u16 request;    /* 0: none has begun */
	__u16 number;     /* of the record */
	__u8 state;
	__u8 at; /* in the record's header */
	__u8 type;
	__u8 padding;
	__u8 pair;
	__u8 length_left; /* bytes of a length */
	__u8 name_at;     /* of "HTTP_"; FASTCGI_ANOTHER: it begins otherwise */
	__u8 answered;    /* the response has begun */
};

#define FASTCGI_PREFIX 0x5f50545448ULL /* "HTTP_", the first byte lowest */
#define FASTCGI_PREFIX_LEN 5
#define FASTCGI_ANOTHER 6

/* A request begins; of another one's parts nothing is known. */
http_inline void fastcgi_request(struct fastcgi *f, struct http *h, struct http_found *found)
{
	f->request = f->number;
	f->pair = FASTCGI_NAME_LEN;
	f->length_left = 0;
	f->head_bytes = 0;
	http__begin(h, found);
}

http_inline enum http_event fastcgi_sent_record(struct fastcgi *f, __u8 type)
{
	if ((type != FASTCGI_STDOUT && type != FASTCGI_STDERR) || !f->left || f->answered)
		return HTTP_NONE;
	f->answered = 1;
	return HTTP_HEAD;
}

/* The header is complete. */
http_inline enum http_event fastcgi_record(struct fastcgi *f, struct http *h,
					   struct http_found *found, int sent)
{
	__u8 type = http_reload(f->type);

	f->at = 0;
	f->state = FASTCGI_CONTENT;
	if (sent)
		return fastcgi_sent_record(f, type);
	if (type == FASTCGI_BEGIN_REQUEST && (!f->request || f->request == f->number))
		fastcgi_request(f, h, found);
	if (type <= FASTCGI_STDIN && (!f->request || f->request != f->number)) {
		f->state = FASTCGI_LOST;
		return HTTP_NONE;
	}
	if (type == FASTCGI_PARAMS && f->left)
		f->state = FASTCGI_PAIRS;
	else if (type == FASTCGI_PARAMS)
		return HTTP_HEAD;
	if (type != FASTCGI_STDIN || f->left)
		return HTTP_NONE;
	f->request = 0;
	return HTTP_END;
}

http_inline enum http_event fastcgi_record_byte(struct fastcgi *f, struct http *h,
						struct http_found *found, __u8 c, int sent)
{
	switch (f->at++) {
	case 0:
		if (c != FASTCGI_VERSION)
			f->state = FASTCGI_LOST;
		break;
	case 1:
		f->type = c;
		break;
	case 2:
		f->number = c << 8;
		break;
	case 3:
		f->number |= c;
		break;
	case 4:
		f->left = c << 8;
		break;
	case 5:
		f->left |= c;
		break;
	case 6:
		f->padding = c;
		break;
	default:
		return fastcgi_record(f, h, found, sent);
	}
	return HTTP_NONE;
}

/* Section 3.4: a length is one byte, or four whose first has its highest bit set. True: it ends. */
http_inline int fastcgi_length(struct fastcgi *f, __u32 *length, __u8 c)
{
	if (f->length_left) {
		*length = *length << 8 | c;
		return --f->length_left == 0;
	}
	*length = c & 0x7f;
	f->length_left = c & 0x80 ? 3 : 0;
	return !(c & 0x80);
}

/* The name is known: does its value matter? */
http_inline void fastcgi_value_begin(struct fastcgi *f, struct http *h, struct http_found *found,
				     const volatile struct http_ids *ids)
{
	h->header =
		f->name_at == FASTCGI_PREFIX_LEN ? http_header_of(h->hash, 0, ids) : HTTP_UNKNOWN;
	if (h->header != HTTP_TRACEPARENT && h->header > HTTP_ID_LAST)
		h->header = HTTP_UNKNOWN;
	http_value_begin(h, found);
	f->pair = f->value_left ? FASTCGI_VALUE : FASTCGI_NAME_LEN;
}

http_inline void fastcgi_name_byte(struct fastcgi *f, struct http *h, __u8 c)
{
	if (f->name_at == FASTCGI_PREFIX_LEN)
		h->hash = http_hash(h->hash, c == '_' ? '-' : http_lower(c));
	else if (f->name_at < FASTCGI_PREFIX_LEN && c == (FASTCGI_PREFIX >> f->name_at * 8 & 0xff))
		f->name_at++;
	else
		f->name_at = FASTCGI_ANOTHER;
}

http_inline void fastcgi_pair_byte(struct fastcgi *f, struct http *h, struct http_found *found,
				   __u8 c, const volatile struct http_ids *ids)
{
	switch (f->pair) {
	case FASTCGI_NAME_LEN:
		if (fastcgi_length(f, &f->name_left, c))
			f->pair = FASTCGI_VALUE_LEN;
		break;
	case FASTCGI_VALUE_LEN:
		if (!fastcgi_length(f, &f->value_left, c))
			break;
		h->hash = FNV_BASIS;
		f->name_at = 0;
		f->pair = FASTCGI_NAME;
		if (!f->name_left)
			fastcgi_value_begin(f, h, found, ids);
		break;
	case FASTCGI_NAME:
		fastcgi_name_byte(f, h, c);
		if (--f->name_left == 0)
			fastcgi_value_begin(f, h, found, ids);
		break;
	default:
		if (h->state != HTTP_SKIP)
			http_value_byte(h, found, c);
		if (--f->value_left == 0)
			f->pair = FASTCGI_NAME_LEN;
		break;
	}
}

/* The record's content has been taken, or had none. */
http_inline enum http_event fastcgi_content_end(struct fastcgi *f, int sent)
{
	f->state = f->padding ? FASTCGI_PADDING : FASTCGI_RECORD;
	f->left = f->padding;
	f->padding = 0;
	if (!sent || f->type != FASTCGI_END_REQUEST)
		return HTTP_NONE;
	f->answered = 0;
	return HTTP_END;
}

/* Passes over up to `len` bytes that need no look; *ret_taken says how many, 0: none do. */
http_inline enum http_event fastcgi__skip(struct fastcgi *f, __u64 len, int sent, __u64 *ret_taken)
{
	__u32 taken = len < f->left ? len : f->left;

	*ret_taken = 0;
	if (f->state == FASTCGI_LOST) {
		*ret_taken = len;
	} else if (f->state == FASTCGI_CONTENT || f->state == FASTCGI_PADDING) {
		*ret_taken = taken;
		f->left -= taken;
		if (!f->left && f->state == FASTCGI_CONTENT)
			return fastcgi_content_end(f, sent);
		if (!f->left)
			f->state = FASTCGI_RECORD;
	}
	return HTTP_NONE;
}

/* Whether the next bytes are for fastcgi__skip(). */
http_inline int fastcgi__skips(const struct fastcgi *f)
{
	return f->state == FASTCGI_CONTENT || f->state == FASTCGI_PADDING ||
	       f->state == FASTCGI_LOST;
}

/*
 * One byte where fastcgi__skips() says no. HTTP_HEAD: all parameters are read, or the response has
 * begun; HTTP_END: all of the request's body is read, or the response is complete.
 */
http_inline enum http_event fastcgi__byte(struct fastcgi *f, struct http *h,
					  struct http_found *found, __u8 c, int sent,
					  const volatile struct http_ids *ids)
{
	enum http_event event;

	if (f->state == FASTCGI_PAIRS) {
		fastcgi_pair_byte(f, h, found, c, ids);
		if (++f->head_bytes > FASTCGI_HEAD_MAX)
			f->state = FASTCGI_LOST;
		else if (--f->left == 0)
			fastcgi_content_end(f, sent);
		return HTTP_NONE;
	}
	event = fastcgi_record_byte(f, h, found, c, sent);
	if (f->state == FASTCGI_CONTENT && !f->left && fastcgi_content_end(f, sent))
		return HTTP_END;
	return event;
}

#endif
