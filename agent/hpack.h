/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hpack: decodes the header blocks of one direction of one connection (RFC 7541), by nghttp2.
 *
 * Each block changes the table that the next ones refer to. Who joins a connection on its way does
 * not know the older entries: they are filled with one that means nothing. Indexes count from the
 * newest entry, so what has been added since is right all the same, and a reference to an older one
 * yields no field rather than a wrong one.
 */
#ifndef REQTAP_HPACK_H
#define REQTAP_HPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "agent/str.h"

#define HPACK_TABLE_MAX (64 * 1024) /* a peer that wants a larger table is not followed */

struct hpack;

/* `joined`: blocks came before. NULL: out of memory. */
struct hpack *hpack__new(bool joined);
struct hpack *hpack__free(struct hpack *hpack);

/* What it takes up now. */
size_t hpack__bytes(const struct hpack *hpack);

typedef void (*hpack_fn)(void *ctx, struct str name, struct str value);

/*
 * A piece of a block, however it is cut; `last`: the block ends with it. `fn` gets its fields;
 * *ret_unknown counts those that were known before the join. -EPROTO: the table is lost, begin anew
 * as one that joins. -ENOMEM likewise.
 */
int hpack__piece(struct hpack *hpack, const uint8_t *data, size_t len, bool last, hpack_fn fn,
		 void *ctx, unsigned *ret_unknown);

#endif
