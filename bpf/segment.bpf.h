/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * segment: walks the user memory of one call, a plain buffer or an iovec array, piece by piece.
 * struct segments lies in a map value.
 */
#ifndef REQTAP_SEGMENT_BPF_H
#define REQTAP_SEGMENT_BPF_H

#include "bpf/maps.bpf.h"

/* The call moved `total` bytes. */
static __always_inline void segments_begin(struct segments *s, u64 total)
{
	s->index = 0;
	s->address = s->base;
	s->left = s->count ? 0 : total;
	s->total = total;
}

/* Steps into the next segment that is not empty: 0 there is one, 1 call again, -1 none or fault. */
static __always_inline int segments_step(struct segments *s)
{
	struct iovec iov;
	const void *at = (void *)(s->base + s->index * sizeof(iov));

	if (!s->total)
		return -1;
	if (s->left)
		return 0;
	if (s->index >= s->count)
		return -1;
	if (s->in_kernel ? bpf_probe_read_kernel(&iov, sizeof(iov), at)
			 : bpf_probe_read_user(&iov, sizeof(iov), at))
		return -1;
	if (s->skip > iov.iov_len)
		return -1;
	s->index++;
	s->address = (u64)iov.iov_base + s->skip;
	iov.iov_len -= s->skip;
	s->skip = 0;
	s->left = iov.iov_len < s->total ? iov.iov_len : s->total;
	return s->left ? 0 : 1;
}

static __always_inline void segments_take(struct segments *s, u64 bytes)
{
	s->address += bytes;
	s->left -= bytes;
	s->total -= bytes;
}

#endif
