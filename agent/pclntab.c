/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pclntab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES 65536
#define WINDOWS_MAX 4096 /* read in one walk: 256 MiB; real tables have up to 64 */
#define FUNCTIONS_MAX (4u << 20)
#define WANTED_MAX 32
#define HEADER_ALIGN 8  /* the linker aligns the table to 32, from Go 1.26 on to 8 */
#define MODULE_TEXT 176 /* Go 1.26: offset of `text` in struct moduledata (runtime/symtab.go) */

#define MAGIC_1_16 0xfffffffa
#define MAGIC_1_18 0xfffffff0
#define MAGIC_1_20 0xfffffff1

struct header {
	uint32_t magic;
	uint8_t pad[2];
	uint8_t instruction; /* smallest size: 1 on x86, 4 on Arm */
	uint8_t pointer;     /* size: 8 */
	uint64_t functions;
	uint64_t files;
	uint64_t rest[6]; /* 1.18 has the start of the text first, then the offsets of both */
};

/* The part of the file that is read now: the tables are walked from start to end. */
struct window {
	const struct elf *elf;
	uint64_t vaddr, end; /* end of the segment */
	size_t len;
	unsigned reads;
	uint8_t bytes[WINDOW_BYTES];
};

static struct window *window_new(const struct elf *elf, uint64_t vaddr)
{
	struct window *window = malloc(sizeof(*window));
	struct elf_range load;

	if (!window)
		return NULL;
	*window = (struct window){ .elf = elf };
	for (unsigned i = 0; !elf__load(elf, i, &load); i++)
		if (vaddr >= load.vaddr && vaddr - load.vaddr < load.size)
			window->end = load.vaddr + load.size;
	return window;
}

/* `len` bytes at vaddr; NULL: beyond the segment, or too much was read. */
static const void *window_at(struct window *w, uint64_t vaddr, size_t len)
{
	if (vaddr >= w->vaddr && vaddr - w->vaddr <= w->len && len <= w->len - (vaddr - w->vaddr))
		return w->bytes + (vaddr - w->vaddr);
	if (vaddr >= w->end || len > w->end - vaddr || w->reads++ >= WINDOWS_MAX)
		return NULL;
	w->vaddr = vaddr;
	w->len = w->end - vaddr < WINDOW_BYTES ? w->end - vaddr : WINDOW_BYTES;
	if (elf__read(w->elf, vaddr, w->bytes, w->len)) {
		w->len = 0;
		return NULL;
	}
	return len <= w->len ? w->bytes : NULL;
}

/* A header, and the offsets in it in their order and within a table of `limit` bytes. */
static int parse_header(const struct header *h, uint64_t vaddr, uint64_t limit, struct pclntab *ret)
{
	bool relative = h->magic == MAGIC_1_18 || h->magic == MAGIC_1_20;
	const uint64_t *offsets = h->rest + relative; /* names, units, files, pc, functions */

	if (!relative && h->magic != MAGIC_1_16)
		return -ENOENT;
	if (h->pad[0] || h->pad[1] || (h->instruction != 1 && h->instruction != 4) ||
	    h->pointer != 8 || !h->functions || h->functions > FUNCTIONS_MAX)
		return -ENOENT;
	if (offsets[0] >= offsets[1] || offsets[1] > offsets[4] || offsets[4] >= limit)
		return -ENOENT;
	*ret = (struct pclntab){
		.vaddr = vaddr,
		.layout = relative ? PCLNTAB_1_18 : PCLNTAB_1_16,
		.functions = h->functions,
		.names = vaddr + offsets[0],
		.names_end = vaddr + offsets[1],
		.functab = vaddr + offsets[4],
	};
	return 0;
}

static int header_at(struct window *window, uint64_t vaddr, struct pclntab *ret)
{
	const void *bytes = window_at(window, vaddr, sizeof(struct header));
	struct header header;

	if (!bytes)
		return -ENOENT;
	memcpy(&header, bytes, sizeof(header));
	return parse_header(&header, vaddr, window->end - vaddr, ret);
}

/* Anywhere in [from, to): linkers other than Go's put the table into a section of another name. */
static int search(const struct elf *elf, uint64_t from, uint64_t to, struct pclntab *ret)
{
	struct window *window = window_new(elf, from);
	int err = -ENOENT;

	if (!window)
		return -ENOMEM;
	from = (from + HEADER_ALIGN - 1) & ~(uint64_t)(HEADER_ALIGN - 1);
	for (; err && from < to && window_at(window, from, 4); from += HEADER_ALIGN) {
		const uint8_t *bytes = window_at(window, from, 4);

		if ((bytes[0] & 0xf0) == 0xf0 && bytes[1] == 0xff && bytes[2] == 0xff)
			err = header_at(window, from, ret);
	}
	free(window);
	return err;
}

static int search_loads(const struct elf *elf, struct pclntab *ret)
{
	struct elf_range load;
	int err = -ENOENT;

	for (unsigned i = 0; err == -ENOENT && !elf__load(elf, i, &load); i++)
		err = search(elf, load.vaddr, load.vaddr + load.size, ret);
	return err;
}

int pclntab__find(struct elf *elf, struct pclntab *ret)
{
	static const char *const sections[] = { ".gopclntab", ".data.rel.ro.gopclntab",
						".data.rel.ro" };
	struct elf_range range;
	bool go = !elf__section(elf, ".go.buildinfo", &range) ||
		  !elf__section(elf, ".note.go.buildid", &range) ||
		  elf__section(elf, ".text", &range); /* no section is named */

	for (int i = 0; i < 3; i++) {
		if (elf__section(elf, sections[i], &range) || (i == 2 && !go))
			continue;
		if (!search(elf, range.vaddr, i < 2 ? range.vaddr + 1 : range.vaddr + range.size,
			    ret))
			return 0;
	}
	return go ? search_loads(elf, ret) : -ENOENT;
}

struct wanted {
	struct pclntab_function *functions;
	unsigned count;
	int64_t names[WANTED_MAX]; /* offset of the name in the table of names; -1: not there */
};

static void want_name(struct wanted *wanted, const char *name, uint64_t offset)
{
	for (unsigned i = 0; i < wanted->count; i++)
		if (!strcmp(wanted->functions[i].name, name))
			wanted->names[i] = offset;
}

/* Every name once, in one pass over all of them. */
static int find_names(const struct elf *elf, const struct pclntab *table, struct wanted *wanted)
{
	struct window *window = window_new(elf, table->names);
	uint64_t vaddr = table->names;

	if (!window)
		return -ENOMEM;
	for (unsigned i = 0; i < wanted->count; i++)
		wanted->names[i] = -1;
	while (vaddr < table->names_end && window_at(window, vaddr, 1)) {
		const char *name = window_at(window, vaddr, 1);
		size_t left = window->len - (vaddr - window->vaddr), len = strnlen(name, left);

		if (len < left) {
			want_name(wanted, name, vaddr - table->names);
			vaddr += len + 1;
			continue;
		}
		if (window->vaddr == vaddr) { /* a name of 64 KiB, or without end */
			free(window);
			return -ENOEXEC;
		}
		window->len = 0; /* read again, from this name on */
	}
	free(window);
	return 0;
}

/* Entry `index` of the functab: where the function begins, and where its record is. */
static int functab_entry(struct window *window, const struct pclntab *table, uint64_t index,
			 uint64_t *ret_entry, uint64_t *ret_record)
{
	bool relative = table->layout == PCLNTAB_1_18;
	size_t size = relative ? 8 : 16;
	const void *bytes = window_at(window, table->functab + index * size, size);
	uint32_t narrow[2];
	uint64_t wide[2];

	if (!bytes)
		return -ENOEXEC;
	memcpy(narrow, bytes, sizeof(narrow));
	memcpy(wide, bytes, relative ? 0 : sizeof(wide));
	*ret_entry = relative ? narrow[0] : wide[0];
	*ret_record = table->functab + (relative ? narrow[1] : wide[1]);
	return 0;
}

/* A position independent program's absolute addresses are the loader's to write. */
static uint64_t relocated(struct elf *elf, const struct pclntab *table, uint64_t index,
			  uint64_t entry)
{
	uint64_t address;

	if (table->layout == PCLNTAB_1_16 &&
	    !elf__relocation(elf, table->functab + index * 16, &address))
		return address;
	return entry;
}

static int take_function(struct elf *elf, struct window *functab, const struct pclntab *table,
			 uint64_t index, struct pclntab_function *function)
{
	uint64_t entry, next, record;

	/* one more entry than functions: the end of the last */
	if (functab_entry(functab, table, index, &entry, &record) ||
	    functab_entry(functab, table, index + 1, &next, &record))
		return -ENOEXEC;
	entry = relocated(elf, table, index, entry);
	next = relocated(elf, table, index + 1, next);
	if (next <= entry)
		return -ENOEXEC;
	function->entry = entry;
	function->size = next - entry;
	return 0;
}

static int walk_functions(struct elf *elf, const struct pclntab *table, const struct wanted *wanted,
			  struct window *functab, struct window *records)
{
	unsigned name_at = table->layout == PCLNTAB_1_18 ? 4 : 8;

	for (uint64_t i = 0; i < table->functions; i++) {
		uint64_t entry, record;
		const void *bytes;
		int32_t name;

		if (functab_entry(functab, table, i, &entry, &record))
			return -ENOEXEC;
		bytes = window_at(records, record + name_at, sizeof(name));
		if (!bytes)
			return -ENOEXEC;
		memcpy(&name, bytes, sizeof(name));
		for (unsigned w = 0; w < wanted->count; w++)
			if (wanted->names[w] == name && name >= 0 &&
			    take_function(elf, functab, table, i, &wanted->functions[w]))
				return -ENOEXEC;
	}
	return 0;
}

int pclntab__functions(struct elf *elf, const struct pclntab *table,
		       struct pclntab_function *functions, unsigned count)
{
	struct wanted wanted = { .functions = functions, .count = count };
	struct window *functab = window_new(elf, table->functab);
	struct window *records = window_new(elf, table->functab);
	int err = count <= WANTED_MAX ? -ENOMEM : -EINVAL;

	for (unsigned i = 0; i < count; i++)
		functions[i].entry = functions[i].size = 0;
	if (functab && records && count <= WANTED_MAX)
		err = find_names(elf, table, &wanted);
	if (!err)
		err = walk_functions(elf, table, &wanted, functab, records);
	free(functab);
	free(records);
	return err;
}

/* The address that stands at vaddr once the program is loaded; -ENOENT: none. */
static int pointer_at(struct elf *elf, uint64_t vaddr, uint64_t *ret)
{
	if (!elf__relocation(elf, vaddr, ret))
		return 0;
	return !elf__read(elf, vaddr, ret, sizeof(*ret)) && *ret ? 0 : -ENOENT;
}

unsigned pclntab__bases(struct elf *elf, const struct pclntab *table, uint64_t ret[PCLNTAB_BASES])
{
	uint64_t field = table->vaddr + offsetof(struct header, rest);
	struct elf_range range;
	unsigned count = 0;

	if (table->layout == PCLNTAB_1_16) {
		ret[0] = 0;
		return 1;
	}
	count += !pointer_at(elf, field, &ret[count]);
	if (!elf__section(elf, ".go.module", &range))
		count += !pointer_at(elf, range.vaddr + MODULE_TEXT, &ret[count]);
	if (!elf__symbol(elf, "runtime.text", &range))
		ret[count++] = range.vaddr;
	if (!elf__section(elf, ".text", &range))
		ret[count++] = range.vaddr;
	return count;
}
