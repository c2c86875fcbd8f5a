/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include "agent/roster.h"

static const struct replica one = { .replica = { "ab", sizeof("ab") - 1 },
				    .model_id = { "c", sizeof("c") - 1 } };
static const struct replica alike = { .replica = { "a", sizeof("a") - 1 },
				      .model_id = { "bc", sizeof("bc") - 1 } };
static const struct replica other = { .environment = { "production", sizeof("production") - 1 } };

static uint32_t number(struct roster *roster, const struct replica *replica)
{
	const struct roster_member *member = roster__get(roster, replica);

	assert_non_null(member);
	return member->number;
}

/* Any text tells replicas apart, also when all of them joined are the same; the container does not.
 */
static void test_number(void **state)
{
	struct roster *roster = roster__new(7, 10, 0);
	struct replica again = one;

	again.container = 5;
	assert_int_equal(number(roster, &one), 8);
	assert_int_equal(number(roster, &alike), 9);
	assert_int_equal(number(roster, &again), 8);
	assert_int_equal(roster__add(roster, &other, 20), 0);
	assert_int_equal(number(roster, &other), 20);
	again.chainlet_id = STR("x");
	assert_int_equal(number(roster, &again), 21);
	roster__free(roster);
}

/* What is kept is a copy, with the caller's bytes beside it. */
static void test_extra(void **state)
{
	struct roster *roster = roster__new(0, 10, 12);
	char text[] = "staging";
	struct replica replica = { .environment = str_from(text) };
	const struct roster_member *member = roster__get(roster, &replica);

	for (int i = 0; i < 12; i++)
		assert_int_equal(((char *)roster__extra(member))[i], 0);
	memset(roster__extra(member), 0xff, 12);
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(member->replica.environment.len, 7);
	assert_memory_equal(member->replica.environment.data, "staging", 7);
	assert_ptr_not_equal(roster__get(roster, &one), member);
	replica.environment = STR("staging");
	assert_ptr_equal(roster__get(roster, &replica), member);
	assert_int_equal(*(unsigned char *)roster__extra(member), 0xff);
	roster__free(roster);
}

/* Beyond the bound the oldest goes, and has a new number when it comes again. */
static void test_bound(void **state)
{
	struct roster *roster = roster__new(0, 2, 8);
	const struct roster_member *member;

	assert_int_equal(number(roster, &one), 1);
	assert_int_equal(number(roster, &alike), 2);
	assert_int_equal(number(roster, &other), 3);
	member = roster__next(roster, NULL);
	assert_int_equal(member->number, 2);
	member = roster__next(roster, member);
	assert_int_equal(member->number, 3);
	assert_null(roster__next(roster, member));
	assert_int_equal(number(roster, &one), 4);
	roster__free(roster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_extra),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
