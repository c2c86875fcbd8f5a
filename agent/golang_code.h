/* SPDX-License-Identifier: Apache-2.0 */
/*
 * golang_code: where a Go function returns, read off its machine code. x86-64 is not decoded: a
 * return is the end of the frame, whose size must be the one that the function began with, and the
 * return right behind it. Six bytes and more that agree are no chance.
 */
#ifndef REQTAP_GOLANG_CODE_H
#define REQTAP_GOLANG_CODE_H

#include <stdint.h>
#include <stddef.h>

/*
 * Offsets in the code of the instructions that return; returns how many, at most `max`. 0: none
 * was found, or more than `max`: then some would be missed.
 */
size_t golang_code__returns(const uint8_t *code, size_t len, uint16_t machine, uint32_t *ret,
			    size_t max);

#endif
