/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/grpc_code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct section {
	uint8_t *bytes;
	uint64_t vaddr;
	size_t size;
};

static int section_read(struct elf *elf, const char *name, struct section *ret)
{
	struct elf_range range;
	int err = elf__section(elf, name, &range);

	*ret = (struct section){ 0 };
	if (err)
		return err;
	if (range.size > GRPC_CODE_SECTION_MAX)
		return -EFBIG;
	*ret = (struct section){ malloc(range.size + 1), range.vaddr, range.size };
	return ret->bytes ? elf__read(elf, range.vaddr, ret->bytes, range.size) : -ENOMEM;
}

/* The text "name(" at the start of a string; 0: there is none. */
static uint64_t find_text(const struct section *rodata, const char *name)
{
	const uint8_t *end = rodata->bytes + rodata->size, *at = rodata->bytes;
	size_t len = strlen(name);

	while ((at = memmem(at, end - at, name, len))) {
		if (at > rodata->bytes && !at[-1] && at + len < end && at[len] == '(')
			return rodata->vaddr + (at - rodata->bytes);
		at++;
	}
	return 0;
}

static int32_t read_i32(const uint8_t *at)
{
	int32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/*
 * The table of .eh_frame_hdr (Linux Standard Base, 10.6.2), as every linker writes it: the starts
 * of all functions in order, four bytes each from the section's own start, four more behind.
 * Returns the last that is not above `vaddr`; 0: none.
 */
static uint64_t function_around(const struct section *frames, uint64_t vaddr)
{
	static const uint8_t encodings[] = { 1, 0x1b, 0x03, 0x3b };
	const uint8_t *table = frames->bytes + 12;
	size_t low = 0, high;

	if (frames->size < 12 || memcmp(frames->bytes, encodings, sizeof(encodings)))
		return 0;
	high = (uint32_t)read_i32(frames->bytes + 8);
	if (high > (frames->size - 12) / 8)
		return 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (frames->vaddr + read_i32(table + 8 * middle) <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? frames->vaddr + read_i32(table + 8 * (low - 1)) : 0;
}

/* lea disp32(%rip), a register of 64 bits: REX.W 8d, ModRM of mode 0 and register 5 */
static bool is_lea(const uint8_t *at)
{
	return (at[0] & 0xfb) == 0x48 && at[1] == 0x8d && (at[2] & 0xc7) == 0x05;
}

/* Notes the functions that take the address of a text; -ENOENT: two take the same. */
static int find_functions(const struct section *text, const struct section *frames,
			  const uint64_t *texts, unsigned count, uint64_t *ret)
{
	for (size_t at = 0; at + 7 <= text->size; at++) {
		uint64_t vaddr = text->vaddr + at, function;

		if (!is_lea(text->bytes + at))
			continue;
		for (unsigned i = 0; i < count; i++) {
			if (vaddr + 7 + read_i32(text->bytes + at + 3) != texts[i])
				continue;
			function = function_around(frames, vaddr);
			if (!function || (ret[i] && ret[i] != function))
				return -ENOENT;
			ret[i] = function;
		}
	}
	for (unsigned i = 0; i < count; i++)
		if (!ret[i])
			return -ENOENT;
	return 0;
}

int grpc_code__functions(struct elf *elf, const char *const *names, unsigned count, uint64_t *ret)
{
	struct section rodata, text = { 0 }, frames = { 0 };
	uint64_t texts[GRPC_CODE_NAMES_MAX];
	int err = section_read(elf, ".rodata", &rodata);

	for (unsigned i = 0; !err && i < count; i++) {
		ret[i] = 0;
		texts[i] = find_text(&rodata, names[i]);
		if (!texts[i])
			err = -ENOENT;
	}
	if (!err)
		err = section_read(elf, ".text", &text);
	if (!err)
		err = section_read(elf, ".eh_frame_hdr", &frames);
	if (!err)
		err = find_functions(&text, &frames, texts, count, ret);
	free(rodata.bytes);
	free(text.bytes);
	free(frames.bytes);
	return err;
}
