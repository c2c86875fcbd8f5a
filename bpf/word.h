/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * word: eight bytes of text looked at at once, the first lowest.
 */
#ifndef REQTAP_WORD_H
#define REQTAP_WORD_H

#include "bpf/event.h"

#define WORD_BYTES(c) (0x0101010101010101ULL * (c))

/* Of the eight bytes: the highest bit of the first newline, and of some others behind it. */
static inline __attribute__((always_inline)) __u64 word_newlines(__u64 bytes)
{
	__u64 x = bytes ^ WORD_BYTES('\n'); /* a byte of 0 is one that is looked for */

	return (x - WORD_BYTES(1)) & ~x & WORD_BYTES(0x80);
}

/* How many of the eight bytes come before the first newline; all of them when there is none. */
static inline __attribute__((always_inline)) __u32 word_before_newline(__u64 bytes)
{
	__u64 found = word_newlines(bytes);

	/* a one in each byte up to the lowest that was found */
	return found ? ((((found & -found) - 1) & WORD_BYTES(1)) * WORD_BYTES(1) >> 56) - 1 : 8;
}

#endif
