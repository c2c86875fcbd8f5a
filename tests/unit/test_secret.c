/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <signal.h>
#include <ucontext.h>
#include "agent/secret.h"

#if defined(__x86_64__)
#define PATTERN "very secret text"

static bool seen_in_registers;

/* What a core would have: the kernel's copy of the registers, with the vector ones' upper halves.
 */
static void look(int signal, siginfo_t *info, void *context)
{
	const struct _libc_fpstate *state = ((ucontext_t *)context)->uc_mcontext.fpregs;
	/* struct _fpx_sw_bytes behind the reserved words: magic, then the size of all */
	const uint32_t *software = (const uint32_t *)((const char *)state + 464);
	size_t size = software[0] == 0x46505853 ? software[1] : sizeof(*state);

	seen_in_registers = memmem(state, size, PATTERN, sizeof(PATTERN) - 1) != NULL;
}

static bool in_registers(void)
{
	/* int3: raise() would use registers of its own */
	__asm__ volatile("int3" ::: "memory");
	return seen_in_registers;
}

static void test_wipe_registers(void **state)
{
	struct sigaction action = { .sa_sigaction = look, .sa_flags = SA_SIGINFO };
	char pattern[] __attribute__((aligned(16))) = PATTERN;

	sigaction(SIGTRAP, &action, NULL);
	__asm__ volatile("movdqa %0, %%xmm15" ::"m"(pattern[0]), "m"(pattern) : "xmm15");
	assert_true(in_registers());
	secret__wipe_registers();
	assert_false(in_registers());
	if (!__builtin_cpu_supports("avx512f"))
		return;
	__asm__ volatile("vbroadcasti32x4 %0, %%zmm31" ::"m"(pattern[0]), "m"(pattern));
	assert_true(in_registers());
	secret__wipe_registers();
	assert_false(in_registers());
}
#endif

static void test_text(void **state)
{
	struct secret *secret = secret__new("abc", 3), *same = secret__new("abc", 3);
	struct secret *longer = secret__new("abcd", 4);

	assert_string_equal(secret__text(secret), "abc");
	assert_int_equal(secret__len(longer), 4);
	assert_true(secret__equal(secret, same));
	assert_false(secret__equal(secret, longer));
	secret__free(secret);
	secret__free(same);
	secret__free(longer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#if defined(__x86_64__)
		cmocka_unit_test(test_wipe_registers),
#endif
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
