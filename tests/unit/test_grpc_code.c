/* SPDX-License-Identifier: Apache-2.0 */
/* Files without symbols, made by hand. Those of Debian are followed by tests/servers/. */
#include "tests/unit/elf_image.h"
#include <errno.h>
#include "agent/grpc_code.h"

#define FUNCTION_BYTES 0x40
#define FUNCTIONS 3
#define NAMES 2

static const char *const names[NAMES] = { "grpc_one", "grpc_two" };

/* The second text is of a longer name's; the last one but looks like the first. */
static const char texts[] = "\0grpc_one(%p)\0grpc_one_more(%p)\0grpc_two(a=%p)\0my grpc_two(%p)";
#define ONE 1
#define TWO 32

struct variant {
	int32_t mentions[FUNCTIONS]; /* offset in `texts` whose address the function takes; 0: none
				      */
	uint8_t encoding;
	uint32_t frames; /* that the table claims to have */
};

static struct variant good(void)
{
	return (struct variant){ { ONE, 0, TWO }, 0x3b, FUNCTIONS };
}

static uint64_t section_vaddr(struct elf_image *image, const char *name, const void *data,
			      size_t size)
{
	return image->sections[image_section(image, name, SHT_PROGBITS, data, size)].sh_addr;
}

/* What grpc_code__functions() says of such a file; *ret_text: where its code is. */
static int look(const struct variant *v, uint64_t *ret_text, uint64_t *ret)
{
	static struct elf_image image;
	uint8_t code[FUNCTIONS * FUNCTION_BYTES], table[12 + 8 * FUNCTIONS] = { 1, 0x1b, 3 };
	uint64_t rodata, text, frames;
	struct elf *elf;
	int fd, err;

	image_begin(&image);
	rodata = section_vaddr(&image, ".rodata", texts, sizeof(texts));
	text = (image_vaddr(&image) + 15) & ~15UL;
	memset(code, 0x90, sizeof(code));
	for (int i = 0; i < FUNCTIONS; i++) {
		size_t at = i * FUNCTION_BYTES + 17;
		int32_t distance = rodata + v->mentions[i] - (text + at + 7);

		memcpy(code + at, "\x4c\x8d\x05", 3); /* lea distance(%rip), %r8 */
		memcpy(code + at + 3, &distance, 4);
		if (!v->mentions[i])
			code[at + 1] = 0x90;
	}
	assert_int_equal(section_vaddr(&image, ".text", code, sizeof(code)), text);
	frames = (image_vaddr(&image) + 15) & ~15UL;
	table[3] = v->encoding;
	memcpy(table + 8, &v->frames, 4);
	for (int i = 0; i < FUNCTIONS; i++) {
		int32_t start = text + i * FUNCTION_BYTES - frames;

		memcpy(table + 12 + 8 * i, &start, 4);
	}
	section_vaddr(&image, ".eh_frame_hdr", table, sizeof(table));
	image_end(&image, EM_X86_64);
	fd = image_file(&image, image.len);
	elf = elf__open(fd, &err);
	assert_non_null(elf);
	err = grpc_code__functions(elf, names, NAMES, ret);
	elf__free(elf);
	close(fd);
	*ret_text = text;
	return err;
}

static void test_found(void **state)
{
	struct variant v = good();
	uint64_t text, at[NAMES];

	assert_int_equal(look(&v, &text, at), 0);
	assert_int_equal(at[0], text);
	assert_int_equal(at[1], text + 2 * FUNCTION_BYTES);
}

/* Probes at a guess would be worse than none. */
static void test_not_found(void **state)
{
	struct variant none = good(), two = good(), encoding = good(), cut = good();
	uint64_t text, at[NAMES];

	none.mentions[2] = 0;
	assert_int_equal(look(&none, &text, at), -ENOENT);
	two.mentions[1] = ONE;
	assert_int_equal(look(&two, &text, at), -ENOENT);
	encoding.encoding = 0x1b;
	assert_int_equal(look(&encoding, &text, at), -ENOENT);
	cut.frames = FUNCTIONS + 1;
	assert_int_equal(look(&cut, &text, at), -ENOENT);
	cut.frames = 0;
	assert_int_equal(look(&cut, &text, at), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
