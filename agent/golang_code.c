/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/golang_code.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>

#define PROLOGUE_MAX 64

/* The instruction that makes the frame or takes it away, by its last opcode byte. */
enum { SUB = 0xec, ADD = 0xc4 };

/* `sub n, rsp` or `add n, rsp` at `at`: its length and n, else 0. */
static size_t moves_stack(const uint8_t *code, size_t len, size_t at, uint8_t which,
			  uint32_t *ret_frame)
{
	if (at + 4 > len || code[at] != 0x48 || code[at + 2] != which)
		return 0;
	if (code[at + 1] == 0x83) {
		*ret_frame = (int32_t)(int8_t)code[at + 3];
		return 4;
	}
	if (code[at + 1] != 0x81 || at + 7 > len)
		return 0;
	memcpy(ret_frame, code + at + 3, 4);
	return 7;
}

/* The same of the prologue: adding -128 stands for subtracting 128. */
static bool frame_size(const uint8_t *code, size_t len, uint32_t *ret)
{
	for (size_t at = 0; at < PROLOGUE_MAX; at++) {
		if (moves_stack(code, len, at, SUB, ret))
			return true;
		if (moves_stack(code, len, at, ADD, ret)) {
			*ret = -*ret;
			return true;
		}
	}
	return false;
}

/* The return behind the end of the frame at `at`; 0: there is none. */
static size_t x86_return(const uint8_t *code, size_t len, size_t at, uint32_t frame)
{
	uint32_t size = 0;
	size_t end = moves_stack(code, len, at, ADD, &size);

	if (!end) { /* Go subtracts -128, which is shorter than to add 128 */
		end = moves_stack(code, len, at, SUB, &size);
		size = -size;
	}
	if (!end || size != frame)
		return 0;
	at += end;
	if (at < len && code[at] == 0x5d) /* pop rbp, since Go 1.21 */
		at++;
	return at < len && code[at] == 0xc3 ? at : 0;
}

size_t golang_code__returns(const uint8_t *code, size_t len, uint16_t machine, uint32_t *ret,
			    size_t max)
{
	size_t step = machine == EM_AARCH64 ? 4 : 1, count = 0;
	uint32_t frame = 0, word;

	if (machine != EM_AARCH64 && !frame_size(code, len, &frame))
		return 0;
	for (size_t at = 0; at + 4 <= len; at += step) {
		size_t found = 0;

		if (machine != EM_AARCH64) {
			found = x86_return(code, len, at, frame);
		} else {
			memcpy(&word, code + at, 4);
			found = word == 0xd65f03c0 ? at : 0; /* ret */
		}
		if (!found)
			continue;
		if (count == max)
			return 0;
		ret[count++] = found;
	}
	return count;
}
