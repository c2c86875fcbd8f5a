/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hpack.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <nghttp2/nghttp2.h>

#define UNKNOWN_NAME 0x7f           /* no field has such a name (RFC 9113, section 8.2.1) */
#define UNKNOWN_ENTRIES (4096 / 33) /* of one byte each: a table of the initial size is full */

struct hpack {
	nghttp2_hd_inflater *inflater;
	nghttp2_mem memory;
	size_t bytes;
};

static void *counted(struct hpack *h, void *memory)
{
	h->bytes += memory ? malloc_usable_size(memory) : 0;
	return memory;
}

static void *take(size_t size, void *ctx)
{
	return counted(ctx, malloc(size));
}

static void *take_zero(size_t count, size_t size, void *ctx)
{
	return counted(ctx, calloc(count, size));
}

static void give_back(void *memory, void *ctx)
{
	struct hpack *h = ctx;

	h->bytes -= memory ? malloc_usable_size(memory) : 0;
	free(memory);
}

static void *take_more(void *memory, size_t size, void *ctx)
{
	struct hpack *h = ctx;
	size_t before = memory ? malloc_usable_size(memory) : 0;
	void *more = realloc(memory, size);

	if (more)
		h->bytes -= before;
	return counted(h, more);
}

static void ignore(void *ctx, struct str name, struct str value)
{
}

/* Literals with a new name that enter the table (RFC 7541, section 6.2.1). */
static int fill(struct hpack *h)
{
	static const uint8_t entry[] = { 0x40, 1, UNKNOWN_NAME, 0 };
	unsigned unknown;
	int err = 0;

	for (unsigned i = 0; i < UNKNOWN_ENTRIES && !err; i++)
		err = hpack__piece(h, entry, sizeof(entry), i == UNKNOWN_ENTRIES - 1, ignore, NULL,
				   &unknown);
	return err;
}

struct hpack *hpack__new(bool joined)
{
	struct hpack *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->memory = (nghttp2_mem){ h, take, give_back, take_zero, take_more };
	if (nghttp2_hd_inflate_new2(&h->inflater, &h->memory) ||
	    nghttp2_hd_inflate_change_table_size(h->inflater, HPACK_TABLE_MAX) ||
	    (joined && fill(h)))
		return hpack__free(h);
	return h;
}

struct hpack *hpack__free(struct hpack *h)
{
	if (h && h->inflater)
		nghttp2_hd_inflate_del(h->inflater);
	free(h);
	return NULL;
}

size_t hpack__bytes(const struct hpack *h)
{
	return sizeof(*h) + h->bytes;
}

int hpack__piece(struct hpack *h, const uint8_t *data, size_t len, bool last, hpack_fn fn,
		 void *ctx, unsigned *ret_unknown)
{
	*ret_unknown = 0;
	for (;;) {
		nghttp2_nv field;
		int flags = 0;
		ssize_t used = nghttp2_hd_inflate_hd2(h->inflater, &field, &flags, data, len, last);

		if (used < 0)
			return used == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
		data += used;
		len -= used;
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			nghttp2_hd_inflate_end_headers(h->inflater);
			return len ? -EPROTO : 0;
		}
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT)) {
			if (!used || !len)
				return len || last ? -EPROTO : 0;
			continue;
		}
		if (field.namelen == 1 && field.name[0] == UNKNOWN_NAME)
			++*ret_unknown;
		else
			fn(ctx, (struct str){ (const char *)field.name, field.namelen },
			   (struct str){ (const char *)field.value, field.valuelen });
	}
}
