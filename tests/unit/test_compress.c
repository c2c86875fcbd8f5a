/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <zlib.h>
#include "agent/compress.h"
#include "tests/unit/unit.h"

#define SIZE 300000

/* Log-like, incompressible and empty input. */
static void fill(uint8_t *data, size_t len, int kind)
{
	uint32_t random = 1;

	for (size_t i = 0; i < len; i++) {
		random = random * 1664525 + 1013904223;
		data[i] = kind ? (uint8_t)(random >> 24) : (uint8_t)("the same line\n"[i % 14]);
	}
}

static void round_trip(enum compression compression, size_t len, int kind)
{
	struct compressor *compressor = compressor__new(), *inverse = compressor__new();
	uint8_t *data = malloc(len + 1);
	const uint8_t *packed, *back;
	size_t packed_len, back_len;

	fill(data, len, kind);
	/* Twice: the second call must not see the first one's state. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			compressor__run(compressor, compression, data, len, &packed, &packed_len),
			0);
		assert_int_equal(compressor__undo(inverse, compression, packed, packed_len, SIZE,
						  &back, &back_len),
				 0);
		assert_int_equal(back_len, len);
		assert_memory_equal(back, data, len);
	}
	if (!kind && len == SIZE && compression != COMPRESSION_NONE)
		assert_true(packed_len < len / 20);
	free(data);
	compressor__free(compressor);
	compressor__free(inverse);
}

static void test_round_trips(void **state)
{
	static const size_t sizes[] = { 0, 1, 65535, 65536, SIZE };

	for (enum compression c = COMPRESSION_NONE; c <= COMPRESSION_ZSTD; c++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			for (int kind = 0; kind < 2; kind++)
				round_trip(c, sizes[i], kind);
}

static void test_bound_and_damage(void **state)
{
	struct compressor *compressor = compressor__new(), *inverse = compressor__new();
	uint8_t *data = calloc(1, SIZE);
	const uint8_t *packed, *back;
	size_t packed_len, back_len;

	compressor__run(compressor, COMPRESSION_GZIP, data, SIZE, &packed, &packed_len);
	assert_int_equal(compressor__undo(inverse, COMPRESSION_GZIP, packed, packed_len, SIZE - 1,
					  &back, &back_len),
			 -EFBIG);
	assert_int_equal(compressor__undo(inverse, COMPRESSION_GZIP, packed, packed_len - 9, SIZE,
					  &back, &back_len),
			 -EBADMSG);
	assert_int_equal(compressor__undo(inverse, COMPRESSION_ZSTD, packed, packed_len, SIZE,
					  &back, &back_len),
			 -EBADMSG);
	free(data);
	compressor__free(compressor);
	compressor__free(inverse);
}

static void test_names(void **state)
{
	enum compression compression;

	assert_int_equal(compression_from_name("gzip", &compression), 0);
	assert_int_equal(compression, COMPRESSION_GZIP);
	assert_int_equal(compression_from_name("zstd", &compression), 0);
	assert_int_equal(compression, COMPRESSION_ZSTD);
	assert_int_equal(compression_from_name("brotli", &compression), -EINVAL);
	assert_string_equal(compression_name(COMPRESSION_NONE), "none");
	assert_null(compressor__free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_bound_and_damage),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("compress", tests, NULL, NULL);
}
