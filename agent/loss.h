/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loss: what of a stream's losses has been told. The kernel counts them with the stream, every
 * fragment carries the count, so that a loss is told in its place; one that no fragment follows is
 * told late, from the stream's own count.
 */
#ifndef REQTAP_LOSS_H
#define REQTAP_LOSS_H

#include <stdint.h>
#include "bpf/event.h"

#define LOSS_STREAMS_MAX 8192

struct loss_table;

/* NULL: out of memory. */
struct loss_table *loss_table__new(void);
struct loss_table *loss_table__free(struct loss_table *table);

/* Lost just before `fragment`, and not told yet: 0 mostly. */
void loss_table__fragment(struct loss_table *table, const struct event_fragment *fragment,
			  uint32_t *ret_writes, uint32_t *ret_bytes);

/*
 * Not told by a fragment. Of the count that the call before this one gave: the fragments before
 * that loss are read by now, if the ring was read in between.
 */
void loss_table__late(struct loss_table *table, const struct stream_key *key,
		      const struct stream *stream, uint32_t *ret_writes, uint32_t *ret_bytes);

#endif
