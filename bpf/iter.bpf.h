/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * iter: where the user memory of a struct iov_iter lies, in all its shapes: `type` with the
 * direction in bit 0 before 5.14, `iter_type` since (8cd54c1c8480); a plain buffer as ITER_UBUF
 * since 6.0 (fcb14cb1bdac); `iov` became `__iov` in 6.4 (de4f5fed3f23). The numbers of the kinds
 * moved more than once, so they come from the kernel's BTF.
 */
#ifndef REQTAP_ITER_BPF_H
#define REQTAP_ITER_BPF_H

#include "bpf/maps.bpf.h"

static __always_inline u32 iter_kind(const struct iov_iter *iter)
{
	const struct iov_iter___type *old = (const void *)iter;

	if (bpf_core_field_exists(iter->iter_type))
		return BPF_CORE_READ(iter, iter_type);
	if (bpf_core_field_exists(old->type))
		return BPF_CORE_READ(old, type) & ~1U;
	return ~0U;
}

static __always_inline u64 iter_vector(const struct iov_iter *iter)
{
	const struct iov_iter___iov *old = (const void *)iter;

	if (bpf_core_field_exists(iter->__iov))
		return (u64)BPF_CORE_READ(iter, __iov);
	if (bpf_core_field_exists(old->iov))
		return (u64)BPF_CORE_READ(old, iov);
	return 0;
}

/*
 * At the entry of the call, before it consumes the iterator. False where the memory is the
 * kernel's own (KVEC, BVEC: splice, a registered buffer): that is never read as the user's.
 */
static __always_inline bool iter_segments(const struct iov_iter *iter, struct segments *ret)
{
	u64 offset = BPF_CORE_READ(iter, iov_offset);
	u32 kind = iter_kind(iter);

	if (bpf_core_enum_value_exists(enum iter_type, ITER_UBUF) &&
	    kind == bpf_core_enum_value(enum iter_type, ITER_UBUF)) {
		if (!bpf_core_field_exists(iter->ubuf))
			return false;
		ret->base = (u64)BPF_CORE_READ(iter, ubuf) + offset;
		ret->count = 0;
		return true;
	}
	if (kind != bpf_core_enum_value(enum iter_type, ITER_IOVEC))
		return false;
	ret->base = iter_vector(iter);
	ret->count = BPF_CORE_READ(iter, nr_segs);
	ret->skip = offset;
	ret->in_kernel = 1; /* the array is the kernel's copy, what it points to is the user's */
	return true;
}

#endif
