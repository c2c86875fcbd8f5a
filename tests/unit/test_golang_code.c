/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Returns of Go functions as each release writes them, by hand. Real programs are followed by
 * tests/servers/.
 */
#include "tests/unit/unit.h"
#include <elf.h>
#include "agent/golang_code.h"

#define FIND(code, machine) golang_code__returns(code, sizeof(code), machine, at, 4)

static void test_frames(void **state)
{
	/* Go 1.19: sub $0x68, rsp; … mov 0x60(rsp), rbp; add $0x68, rsp; ret, twice */
	static const uint8_t small[] = { 0x49, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x48, 0x83, 0xec,
					 0x68, 0x90, 0x48, 0x8b, 0x6c, 0x24, 0x60, 0x48, 0x83,
					 0xc4, 0x68, 0xc3, 0x90, 0x48, 0x83, 0xc4, 0x68, 0xc3 };
	/* Go 1.21 and later: push rbp; … add $0xe8, rsp; pop rbp; ret */
	static const uint8_t large[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0x81, 0xec,
					 0xe8, 0x00, 0x00, 0x00, 0x90, 0x48, 0x81,
					 0xc4, 0xe8, 0x00, 0x00, 0x00, 0x5d, 0xc3 };
	/* 128 is added and subtracted as -128 */
	static const uint8_t turned[] = { 0x48, 0x83, 0xc4, 0x80, 0x90, 0x48,
					  0x83, 0xec, 0x80, 0x5d, 0xc3 };
	uint32_t at[4];

	assert_int_equal(FIND(small, EM_X86_64), 2);
	assert_int_equal(at[0], 20);
	assert_int_equal(at[1], 26);
	assert_int_equal(FIND(large, EM_X86_64), 1);
	assert_int_equal(at[0], 20);
	assert_int_equal(FIND(turned, EM_X86_64), 1);
	assert_int_equal(at[0], 10);
}

/* Bytes that look like a return, and are none of this frame's: a probe there would change code. */
static void test_no_return(void **state)
{
	static const uint8_t other_frame[] = {
		0x48, 0x83, 0xec, 0x68, 0x48, 0x83, 0xc4, 0x60, 0xc3
	};
	static const uint8_t no_frame[] = { 0x90, 0x90, 0xc3 };
	static const uint8_t not_behind[] = { 0x48, 0x83, 0xec, 0x68, 0x48,
					      0x83, 0xc4, 0x68, 0x90, 0xc3 };
	static const uint8_t cut[] = { 0x48, 0x83, 0xec, 0x68, 0x48, 0x83, 0xc4, 0x68 };
	uint32_t at[4];

	assert_int_equal(FIND(other_frame, EM_X86_64), 0);
	assert_int_equal(FIND(no_frame, EM_X86_64), 0);
	assert_int_equal(FIND(not_behind, EM_X86_64), 0);
	assert_int_equal(FIND(cut, EM_X86_64), 0);
	assert_int_equal(golang_code__returns(cut, 0, EM_X86_64, at, 4), 0);
}

static void test_too_many(void **state)
{
	uint8_t code[4 + 5 * 5] = { 0x48, 0x83, 0xec, 0x68 };
	uint32_t at[4];

	for (size_t i = 4; i < sizeof(code); i += 5)
		memcpy(code + i, "\x48\x83\xc4\x68\xc3", 5);
	assert_int_equal(golang_code__returns(code, 4 + 4 * 5, EM_X86_64, at, 4), 4);
	assert_int_equal(FIND(code, EM_X86_64), 0); /* none rather than some */
}

static void test_arm(void **state)
{
	static const uint32_t code[] = { 0xd503201f, 0xd65f03c0, 0x00d65f03, 0xd65f03c0 };
	uint32_t at[4];

	assert_int_equal(
		golang_code__returns((const uint8_t *)code, sizeof(code), EM_AARCH64, at, 4), 2);
	assert_int_equal(at[0], 4);
	assert_int_equal(at[1], 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_no_return),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_arm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
