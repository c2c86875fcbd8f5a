/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/elf_image.h"
#include <errno.h>
#include <fcntl.h>
#include "agent/elf.h"

int main(void);

static const char constant[] = "a constant that the file holds";
static const char *const moved = constant; /* a pointer that the loader relocates */

static struct elf *open_fd(int fd)
{
	int err = 1;
	struct elf *elf = elf__open(fd, &err);

	assert_int_equal(err, 0);
	assert_non_null(elf);
	return elf;
}

/* This very program: what the file says at an address is what stands in memory. */
static void test_self(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct elf *elf = open_fd(fd);
	struct elf_range range;
	uint64_t offset, base;
	char bytes[16], again[16];

	assert_int_equal(elf__symbol(elf, "main", &range), 0);
	base = (uint64_t)main - range.vaddr;
	assert_int_equal(base & 4095, 0);
	assert_int_equal(elf__read(elf, range.vaddr, bytes, sizeof(bytes)), 0);
	assert_memory_equal(bytes, main, sizeof(bytes));
	assert_int_equal(elf__offset(elf, range.vaddr, &offset), 0);
	assert_int_equal(pread(fd, again, sizeof(again), offset), sizeof(again));
	assert_memory_equal(again, bytes, sizeof(bytes));
	assert_int_equal(elf__read(elf, (uint64_t)constant - base, again, sizeof(again)), 0);
	assert_memory_equal(again, constant, sizeof(again));
	if (base) {
		assert_int_equal(elf__relocation(elf, (uint64_t)&moved - base, &offset), 0);
		assert_int_equal(base + offset, (uint64_t)constant);
	}
	assert_int_equal(elf__relocation(elf, range.vaddr, &offset), -ENOENT);
	assert_int_equal(elf__section(elf, ".text", &range), 0);
	assert_true((uint64_t)main - base - range.vaddr < range.size);
	assert_int_equal(elf__symbol(elf, "no_such_symbol", &range), -ENOENT);
	elf__free(elf);
	close(fd);
}

static struct elf_image image;

static void make_image(void)
{
	image_begin(&image);
	image_section(&image, ".text", SHT_PROGBITS, constant, sizeof(constant));
	image_symbol(&image, SHT_DYNSYM, "dynamic", IMAGE_BASE + 8, 4);
	image_symbol(&image, SHT_SYMTAB, "static", IMAGE_BASE + 16, 0);
	image_end(&image, EM_AARCH64);
}

static void test_tables(void **state)
{
	struct elf_range range;
	struct elf *elf;
	uint64_t offset;
	int fd;

	make_image();
	fd = image_file(&image, image.len);
	elf = open_fd(fd);
	assert_int_equal(elf__machine(elf), EM_AARCH64);
	assert_int_equal(elf__symbol(elf, "dynamic", &range), 0);
	assert_int_equal(range.vaddr, IMAGE_BASE + 8);
	assert_int_equal(range.size, 4);
	assert_int_equal(elf__symbol(elf, "static", &range), 0);
	assert_int_equal(elf__symbol(elf, "stat", &range), -ENOENT);
	assert_int_equal(elf__section(elf, ".text", &range), 0);
	assert_int_equal(range.size, sizeof(constant));
	assert_int_equal(elf__offset(elf, IMAGE_BASE + 100, &offset), 0);
	assert_int_equal(offset, 100);
	assert_int_equal(elf__offset(elf, IMAGE_BASE - 1, &offset), -ENOENT);
	assert_int_equal(elf__load(elf, 0, &range), 0);
	assert_int_equal(range.vaddr, IMAGE_BASE);
	assert_int_equal(elf__load(elf, 1, &range), -ENOENT);
	assert_int_equal(elf__read(elf, IMAGE_BASE + IMAGE_BYTES, &offset, 8), -ENOENT);
	elf__free(elf);
	close(fd);
}

/* An entry is probed behind its endbr64, which only x86-64 has. */
static void test_probe_place(void **state)
{
	static const uint8_t code[] = { 0xf3, 0x0f, 0x1e, 0xfa, 0x53, 0xc3 };
	static const uint16_t machines[] = { EM_X86_64, EM_AARCH64 };

	for (int i = 0; i < 2; i++) {
		struct elf *elf;
		uint64_t text;
		int fd;

		image_begin(&image);
		image_section(&image, ".text", SHT_PROGBITS, code, sizeof(code));
		image_end(&image, machines[i]);
		text = image.sections[1].sh_addr;
		fd = image_file(&image, image.len);
		elf = open_fd(fd);
		assert_int_equal(elf__probe_place(elf, text), i ? text : text + 4);
		assert_int_equal(elf__probe_place(elf, text + 4), text + 4);
		elf__free(elf);
		close(fd);
	}
}

/* Opens or not, finds or not: it must neither crash nor read beyond the file. */
static void try_all(int fd)
{
	struct elf_range range;
	uint64_t value;
	int err = 1;
	struct elf *elf = elf__open(fd, &err);

	if (!elf) {
		assert_true(err < 0);
		return;
	}
	elf__symbol(elf, "absent", &range);
	elf__section(elf, ".absent", &range);
	elf__relocation(elf, 1, &value);
	elf__offset(elf, IMAGE_BASE, &value);
	elf__free(elf);
}

static void test_cut_short(void **state)
{
	make_image();
	for (size_t len = 0; len < image.len; len++) {
		int fd = image_file(&image, len);

		try_all(fd);
		close(fd);
	}
}

static void test_damaged(void **state)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	struct elf_image good;

	make_image();
	good = image;
	for (size_t i = 0; i < image.len; i++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			int fd;

			image.bytes[i] = values[v];
			fd = image_file(&image, image.len);
			try_all(fd);
			close(fd);
		}
		image.bytes[i] = good.bytes[i];
	}
}

/* The file is cut after it was opened: an error, not a signal. */
static void test_cut_later(void **state)
{
	struct elf_range range;
	struct elf *elf;
	uint64_t value;
	int fd;

	make_image();
	fd = image_file(&image, image.len);
	elf = open_fd(fd);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(elf__symbol(elf, "static", &range), -ENOENT);
	assert_int_equal(elf__read(elf, IMAGE_BASE + 512, &value, 8), -ENOEXEC);
	elf__free(elf);
	close(fd);
}

static void test_not_elf(void **state)
{
	int fds[2], err = 0, fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	assert_null(elf__open(fd, &err));
	assert_int_equal(err, -ENOEXEC);
	close(fd);
	assert_int_equal(pipe(fds), 0); /* reading it would wait */
	assert_null(elf__open(fds[0], &err));
	assert_int_equal(err, -ENOEXEC);
	close(fds[0]);
	close(fds[1]);
	assert_null(elf__open(-1, &err));
	assert_int_equal(err, -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),        cmocka_unit_test(test_tables),
		cmocka_unit_test(test_cut_short),   cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_cut_later),   cmocka_unit_test(test_not_elf),
		cmocka_unit_test(test_probe_place),
	};

	return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
