/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables and code as each layout of Go has them, made by hand. Real programs of several releases,
 * stripped and not, are built and asked by tests/servers/.
 */
#include "tests/unit/elf_image.h"
#include <errno.h>
#include <stdio.h>
#include "agent/golang.h"
#include "agent/pclntab.h"

enum {
	TEXT_BYTES = 0x180,
	NEWPROC = 0x00,
	NEWPROC1 = 0x40,
	SIGPANIC0 = 0x80,
	NEWCORO = 0xc0,
	SYSTEMSTACK = 0x100,
	RUNQPUT = 0x140,
};
#define FUNCTIONS 6
#define QUEUE (NEWPROC + 40) /* where newproc calls runqput */

#define OLD 0xfffffffa
#define MIDDLE 0xfffffff0
#define NEW 0xfffffff1

struct variant {
	uint32_t magic;
	uint16_t machine;
	const char *section; /* of the table */
	bool constant_g;     /* through a register, as a position independent program loads it */
	bool no_base;        /* the table does not say where the text begins */
	bool coroutines;
	bool go;     /* .go.buildinfo is there */
	bool queues; /* the call of runqput, and what systemstack shows, are there */
};

static struct elf_image image;
static uint8_t table[2048];
static size_t table_len;

static size_t put(const void *data, size_t len)
{
	size_t at = table_len;

	assert_true(table_len + len <= sizeof(table));
	memcpy(table + at, data, len);
	table_len += len;
	return at;
}

static void put_call(uint8_t *text, size_t at, size_t target, uint16_t machine)
{
	int32_t jump = target - (at + 5);
	uint32_t word = 0x94000000 | (((target - at) / 4) & 0x3ffffff);

	if (machine == EM_AARCH64) {
		memcpy(text + at, &word, 4);
		return;
	}
	text[at] = 0xe8;
	memcpy(text + at + 1, &jump, 4);
}

static void put_queue(uint8_t *text)
{
	static const uint8_t stack[] = {
		0x48, 0x8b, 0x58, 0x30,                   /* mov 48(rax), rbx */
		0x48, 0x3b, 0x83, 0xc0, 0x00, 0x00, 0x00, /* cmp 192(rbx), rax */
		0x48, 0x8b, 0x62, 0x38,                   /* mov 56(rdx), rsp */
	};

	put_call(text, QUEUE, RUNQPUT, EM_X86_64);
	memcpy(text + SYSTEMSTACK, stack, sizeof(stack));
}

static void make_text(uint8_t *text, const struct variant *v)
{
	static const uint8_t check[] = { 0x49, 0x3b, 0x66, 0x10 };
	static const uint8_t check_far[] = { 0x4c, 0x8d, 0x64, 0x24, 0xf8, 0x4d, 0x3b, 0x66, 0x10 };
	static const uint8_t check_arm[] = { 0x90, 0x0b, 0x40, 0xf9 };
	static const uint8_t g[] = { 0x64, 0x4c, 0x8b, 0x34, 0x25, 0xc0, 0xff, 0xff, 0xff };
	static const uint8_t g_constant[] = { 0x49, 0xc7, 0xc6, 0xf8, 0xff, 0xff,
					      0xff, 0x64, 0x4d, 0x8b, 0x36 };
	bool arm = v->machine == EM_AARCH64;

	memset(text, 0, TEXT_BYTES);
	memcpy(text + NEWPROC, arm ? check_arm : check, 4);
	put_call(text, NEWPROC + 16, NEWPROC1, v->machine);
	put_call(text, NEWPROC + 24, SIGPANIC0, v->machine);
	memcpy(text + NEWPROC1, arm ? check_arm : check_far, arm ? 4 : sizeof(check_far));
	if (v->constant_g)
		memcpy(text + SIGPANIC0, g_constant, sizeof(g_constant));
	else
		memcpy(text + SIGPANIC0, g, sizeof(g));
	put_call(text, NEWCORO + 8, NEWPROC1, v->machine);
	if (v->queues)
		put_queue(text);
}

static void put_functions(const struct variant *v, const uint32_t *names, uint64_t text)
{
	static const size_t entries[] = { NEWPROC,     NEWPROC1, SIGPANIC0, NEWCORO,
					  SYSTEMSTACK, RUNQPUT,  TEXT_BYTES };
	bool old = v->magic == OLD;
	size_t records = (FUNCTIONS + 1) * (old ? 16 : 8);

	for (int i = 0; i < FUNCTIONS + 1; i++) {
		uint64_t record = records + i * 24, wide[2] = { text + entries[i], record };
		uint32_t narrow[2] = { entries[i], record };

		old ? put(wide, sizeof(wide)) : put(narrow, sizeof(narrow));
	}
	for (int i = 0; i < FUNCTIONS; i++) {
		uint32_t record[6] = { entries[i] };

		record[old ? 2 : 1] = names[i];
		put(record, sizeof(record));
	}
}

static void make_table(const struct variant *v, uint64_t text)
{
	static const char *const functions[] = {
		"runtime.newproc.func1", "runtime.newproc1",         "runtime.sigpanic0",
		"runtime.newcoro.func1", "runtime.systemstack.abi0", "runtime.runqput"
	};
	bool old = v->magic == OLD;
	uint8_t head[8] = { [6] = v->machine == EM_AARCH64 ? 4 : 1, [7] = 8 };
	uint64_t fields[8] = { FUNCTIONS, 1 }, *offsets = fields + 2;
	uint32_t names[FUNCTIONS];

	table_len = 0;
	memcpy(head, &v->magic, 4);
	put(head, sizeof(head));
	if (!old)
		*offsets++ = v->no_base ? 0 : text;
	table_len += old ? 7 * 8 : 8 * 8;
	offsets[0] = put("runtime.newproc1x", 18); /* no other name may be taken for ours */
	for (int i = 0; i < FUNCTIONS; i++) {
		const char *name = i != 3 || v->coroutines ? functions[i] : "main.main";

		names[i] = put(name, strlen(name) + 1) - offsets[0];
	}
	table_len = (table_len + 7) & ~7UL;
	offsets[1] = offsets[2] = offsets[3] = offsets[4] = table_len;
	memcpy(table + 8, fields, old ? 7 * 8 : 8 * 8);
	put_functions(v, names, text);
}

static void make_image(const struct variant *v)
{
	uint8_t text[TEXT_BYTES];

	make_text(text, v);
	image_begin(&image);
	image_section(&image, ".text", SHT_PROGBITS, text, sizeof(text));
	make_table(v, image.sections[1].sh_addr);
	image_section(&image, v->section, SHT_PROGBITS, table, table_len);
	if (v->go)
		image_section(&image, ".go.buildinfo", SHT_PROGBITS, "go", 2);
	image_end(&image, v->machine);
}

static int inspect(struct golang *ret)
{
	int fd = image_file(&image, image.len), err = 0;
	struct elf *elf = elf__open(fd, &err);

	if (elf)
		err = golang__inspect(elf, ret);
	elf__free(elf);
	close(fd);
	return err;
}

static void test_layouts(void **state)
{
	static const struct variant variants[] = {
		{ OLD, EM_X86_64, .section = ".gopclntab" },
		{ MIDDLE, EM_X86_64, .section = ".gopclntab" },
		{ NEW, EM_X86_64, .section = ".gopclntab" },
		{ NEW, EM_X86_64, ".gopclntab", .coroutines = true },
		{ NEW, EM_X86_64, ".data.rel.ro.gopclntab", .constant_g = true },
		{ NEW, EM_X86_64, ".gopclntab", .no_base = true },
		{ MIDDLE, EM_X86_64, ".data.rel.ro", .go = true },
		{ MIDDLE, EM_X86_64, ".elsewhere", .go = true },
		{ OLD, EM_AARCH64, .section = ".gopclntab" },
		{ NEW, EM_AARCH64, ".gopclntab", .coroutines = true },
	};

	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		const struct variant *v = &variants[i];
		struct golang golang;
		uint64_t text;

		make_image(v);
		text = image.sections[1].sh_addr;
		assert_int_equal(inspect(&golang), 0);
		assert_int_equal(golang.parent_argument, v->magic == OLD ? 3 : 1);
		assert_int_equal(golang.start_count, v->coroutines ? 2 : 1);
		assert_int_equal(golang.starts[0].call, text + NEWPROC + 16);
		assert_int_equal(golang.starts[0].after,
				 text + NEWPROC + (v->machine == EM_AARCH64 ? 20 : 21));
		if (v->coroutines)
			assert_int_equal(golang.starts[1].call, text + NEWCORO + 8);
		assert_int_equal(golang.g_offset, v->machine == EM_AARCH64 ? 0
						  : v->constant_g          ? -8
									   : -64);
	}
}

/* A nop of five bytes before the call is the better place; one of six, which ends so, is none. */
static void test_queue(void **state)
{
	static const struct variant queues = { NEW, EM_X86_64, ".gopclntab", .queues = true };
	static const uint8_t nop[] = { 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 };
	struct golang golang;
	uint8_t *text;
	uint64_t call;

	make_image(&queues);
	text = image.bytes + image.sections[1].sh_offset;
	call = image.sections[1].sh_addr + QUEUE;
	assert_int_equal(inspect(&golang), 0);
	assert_int_equal(golang.queued, call);
	assert_int_equal(golang.m, 48);
	assert_int_equal(golang.curg, 192);
	assert_int_equal(golang.sched, 56);
	memcpy(text + QUEUE - 5, nop + 1, 5);
	assert_int_equal(inspect(&golang), 0);
	assert_int_equal(golang.queued, call - 5);
	memcpy(text + QUEUE - 6, nop, 6);
	assert_int_equal(inspect(&golang), 0);
	assert_int_equal(golang.queued, call);
	text[SYSTEMSTACK + 6] ^= 1; /* no offset of the goroutine: two probes are used */
	assert_int_equal(inspect(&golang), 0);
	assert_int_equal(golang.queued, 0);
}

static const struct variant usual = { NEW, EM_X86_64, .section = ".gopclntab" };

static void expect_unsupported(void)
{
	struct golang golang;

	assert_int_equal(inspect(&golang), -ENOTSUP);
}

/* Code that is not what it should be gives no place to attach to. */
static void test_other_code(void **state)
{
	uint8_t *text;

	make_image(&usual);
	text = image.bytes + image.sections[1].sh_offset;
	text[NEWPROC1 + 7] ^=
		1; /* compares with another register: the calling convention of 1.16 */
	expect_unsupported();
	make_image(&usual);
	text[NEWPROC + 17] ^= 1; /* calls something else */
	expect_unsupported();
	make_image(&usual);
	put_call(text, NEWPROC + 30, NEWPROC1, EM_X86_64); /* twice: which is it? */
	expect_unsupported();
	make_image(&usual);
	text[SIGPANIC0 + 8] = 0; /* a thread local above the base */
	expect_unsupported();
}

static void test_other_programs(void **state)
{
	struct golang golang;

	image_begin(&image);
	image_section(&image, ".text", SHT_PROGBITS, "x", 1);
	image_end(&image, EM_X86_64);
	assert_int_equal(inspect(&golang), -ENOENT);
	make_image(
		&(struct variant){ 0xfffffffb, EM_X86_64, .section = ".gopclntab" }); /* Go 1.15 */
	assert_int_equal(inspect(&golang), -ENOENT);
}

/* Whatever byte of the table is damaged: an answer, and never a place outside the text. */
static void test_damaged(void **state)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	uint64_t begin, len;

	make_image(&usual);
	begin = image.sections[2].sh_offset;
	len = image.sections[2].sh_size;
	for (uint64_t i = begin; i < begin + len; i++) {
		uint8_t good = image.bytes[i];

		for (size_t v = 0; v < sizeof(values); v++) {
			struct golang golang = { 0 };

			image.bytes[i] = values[v];
			if (!inspect(&golang))
				assert_int_equal(golang.starts[0].call,
						 image.sections[1].sh_addr + NEWPROC + 16);
		}
		image.bytes[i] = good;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layouts),    cmocka_unit_test(test_queue),
		cmocka_unit_test(test_other_code), cmocka_unit_test(test_other_programs),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests_name("golang", tests, NULL, NULL);
}
