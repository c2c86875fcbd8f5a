/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/elf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <libelf.h>

#define TABLE_BYTES_MAX (256u << 20) /* a symbol, string or relocation table is read whole */

struct elf {
	int fd;
	Elf *libelf;
	Elf64_Ehdr header;
	uint64_t file_bytes;
	Elf64_Phdr loads[ELF_LOADS_MAX];
	unsigned load_count;
};

static int read_at(int fd, uint64_t offset, void *ret, size_t len)
{
	ssize_t n = pread(fd, ret, len, offset);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -ENOEXEC;
}

/* `count` entries of `size` bytes at `offset` are in the file. */
static bool fits(const struct elf *elf, uint64_t offset, uint64_t count, uint64_t size)
{
	return offset <= elf->file_bytes && count <= (elf->file_bytes - offset) / size;
}

static int check_header(struct elf *elf)
{
	const Elf64_Ehdr *h = &elf->header;
	struct stat stat;
	int err;

	if (fstat(elf->fd, &stat))
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -ENOEXEC;
	elf->file_bytes = stat.st_size;
	err = read_at(elf->fd, 0, &elf->header, sizeof(elf->header));
	if (err)
		return err;
	if (memcmp(h->e_ident, ELFMAG, SELFMAG) || h->e_ident[EI_CLASS] != ELFCLASS64 ||
	    h->e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOEXEC;
	if ((h->e_type != ET_EXEC && h->e_type != ET_DYN) ||
	    (h->e_machine != EM_X86_64 && h->e_machine != EM_AARCH64))
		return -ENOEXEC;
	/* more sections than 16 bits count are found in objects alone; libelf would trust the count
	 */
	if (h->e_shoff && (!h->e_shnum || h->e_shentsize != sizeof(Elf64_Shdr) ||
			   !fits(elf, h->e_shoff, h->e_shnum, sizeof(Elf64_Shdr))))
		return -ENOEXEC;
	if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == PN_XNUM ||
	    !fits(elf, h->e_phoff, h->e_phnum, sizeof(Elf64_Phdr)))
		return -ENOEXEC;
	return 0;
}

static int read_segments(struct elf *elf)
{
	for (unsigned i = 0; i < elf->header.e_phnum; i++) {
		uint64_t offset = elf->header.e_phoff + i * sizeof(Elf64_Phdr);
		Elf64_Phdr segment;
		int err = read_at(elf->fd, offset, &segment, sizeof(segment));

		if (err)
			return err;
		if (segment.p_type != PT_LOAD)
			continue;
		if (elf->load_count == ELF_LOADS_MAX ||
		    !fits(elf, segment.p_offset, segment.p_filesz, 1) ||
		    segment.p_vaddr > UINT64_MAX - segment.p_filesz)
			return -ENOEXEC;
		elf->loads[elf->load_count++] = segment;
	}
	return elf->load_count ? 0 : -ENOEXEC;
}

struct elf *elf__open(int fd, int *ret_err)
{
	struct elf *elf = calloc(1, sizeof(*elf));

	*ret_err = -ENOMEM;
	if (!elf)
		return NULL;
	elf->fd = fd;
	*ret_err = check_header(elf);
	if (!*ret_err)
		*ret_err = read_segments(elf);
	if (*ret_err)
		return elf__free(elf);
	elf_version(EV_CURRENT);
	elf->libelf = elf_begin(fd, ELF_C_READ, NULL); /* mapped, a file cut short would kill us */
	if (elf->libelf && elf_kind(elf->libelf) == ELF_K_ELF)
		return elf;
	*ret_err = -ENOEXEC;
	return elf__free(elf);
}

struct elf *elf__free(struct elf *elf)
{
	if (elf)
		elf_end(elf->libelf);
	free(elf);
	return NULL;
}

uint16_t elf__machine(const struct elf *elf)
{
	return elf->header.e_machine;
}

/* A table's bytes as they are in memory; NULL when it is damaged or absurdly large. */
static Elf_Data *table_data(struct elf *elf, Elf_Scn *section, const Elf64_Shdr *header)
{
	if (!section || !header || header->sh_type == SHT_NOBITS || header->sh_size == 0 ||
	    header->sh_size > TABLE_BYTES_MAX || (header->sh_flags & SHF_COMPRESSED) ||
	    !fits(elf, header->sh_offset, header->sh_size, 1))
		return NULL;
	return elf_getdata(section, NULL);
}

static bool name_is(const Elf_Data *strings, uint64_t at, const char *name)
{
	size_t len = strlen(name) + 1;

	return at < strings->d_size && len <= strings->d_size - at &&
	       !memcmp((const char *)strings->d_buf + at, name, len);
}

static int find_symbol(struct elf *elf, Elf_Scn *section, const Elf64_Shdr *header,
		       const char *name, struct elf_range *ret)
{
	Elf_Scn *string_section = elf_getscn(elf->libelf, header->sh_link);
	Elf_Data *symbols = table_data(elf, section, header);
	Elf_Data *strings = NULL;

	if (string_section)
		strings = table_data(elf, string_section, elf64_getshdr(string_section));
	if (!symbols || !strings || !symbols->d_buf || !strings->d_buf)
		return -ENOENT;
	for (size_t i = 0; i < symbols->d_size / sizeof(Elf64_Sym); i++) {
		const Elf64_Sym *symbol = (const Elf64_Sym *)symbols->d_buf + i;

		if (symbol->st_shndx == SHN_UNDEF || !name_is(strings, symbol->st_name, name))
			continue;
		*ret = (struct elf_range){ symbol->st_value, symbol->st_size };
		return 0;
	}
	return -ENOENT;
}

int elf__symbol(struct elf *elf, const char *name, struct elf_range *ret)
{
	static const Elf64_Word types[] = { SHT_DYNSYM, SHT_SYMTAB };

	for (int i = 0; i < 2; i++) {
		Elf_Scn *section = NULL;

		while ((section = elf_nextscn(elf->libelf, section))) {
			const Elf64_Shdr *header = elf64_getshdr(section);

			if (header && header->sh_type == types[i] &&
			    !find_symbol(elf, section, header, name, ret))
				return 0;
		}
	}
	return -ENOENT;
}

int elf__section(struct elf *elf, const char *name, struct elf_range *ret)
{
	Elf_Scn *names = elf_getscn(elf->libelf, elf->header.e_shstrndx), *section = NULL;
	Elf_Data *strings = names ? table_data(elf, names, elf64_getshdr(names)) : NULL;

	while (strings && strings->d_buf && (section = elf_nextscn(elf->libelf, section))) {
		const Elf64_Shdr *header = elf64_getshdr(section);

		if (!header || !(header->sh_flags & SHF_ALLOC) ||
		    !name_is(strings, header->sh_name, name))
			continue;
		*ret = (struct elf_range){ header->sh_addr, header->sh_size };
		return 0;
	}
	return -ENOENT;
}

int elf__load(const struct elf *elf, unsigned index, struct elf_range *ret)
{
	if (index >= elf->load_count)
		return -ENOENT;
	*ret = (struct elf_range){ elf->loads[index].p_vaddr, elf->loads[index].p_filesz };
	return 0;
}

/* The segment with all of [vaddr, vaddr + len) in the file; NULL: none. */
static const Elf64_Phdr *segment_of(const struct elf *elf, uint64_t vaddr, uint64_t len)
{
	for (unsigned i = 0; i < elf->load_count; i++) {
		const Elf64_Phdr *segment = &elf->loads[i];

		if (vaddr >= segment->p_vaddr && vaddr - segment->p_vaddr < segment->p_filesz &&
		    len <= segment->p_filesz - (vaddr - segment->p_vaddr))
			return segment;
	}
	return NULL;
}

int elf__offset(const struct elf *elf, uint64_t vaddr, uint64_t *ret)
{
	const Elf64_Phdr *segment = segment_of(elf, vaddr, 1);

	if (!segment)
		return -ENOENT;
	*ret = segment->p_offset + (vaddr - segment->p_vaddr);
	return 0;
}

int elf__read(const struct elf *elf, uint64_t vaddr, void *ret, size_t len)
{
	const Elf64_Phdr *segment = segment_of(elf, vaddr, len);

	if (!segment)
		return -ENOENT;
	return read_at(elf->fd, segment->p_offset + (vaddr - segment->p_vaddr), ret, len);
}

int elf__relocation(struct elf *elf, uint64_t vaddr, uint64_t *ret)
{
	uint32_t relative =
		elf->header.e_machine == EM_X86_64 ? R_X86_64_RELATIVE : R_AARCH64_RELATIVE;
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf->libelf, section))) {
		const Elf64_Shdr *header = elf64_getshdr(section);
		Elf_Data *data = NULL;

		if (header && header->sh_type == SHT_RELA)
			data = table_data(elf, section, header);
		for (size_t i = 0; data && data->d_buf && i < data->d_size / sizeof(Elf64_Rela);
		     i++) {
			const Elf64_Rela *rela = (const Elf64_Rela *)data->d_buf + i;

			if (rela->r_offset != vaddr || ELF64_R_TYPE(rela->r_info) != relative)
				continue;
			*ret = rela->r_addend;
			return 0;
		}
	}
	return -ENOENT;
}

uint64_t elf__probe_place(const struct elf *elf, uint64_t vaddr)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	uint8_t code[sizeof(endbr64)];

	if (elf__machine(elf) != EM_X86_64 || elf__read(elf, vaddr, code, sizeof(code)) ||
	    memcmp(code, endbr64, sizeof(code)) != 0)
		return vaddr;
	return vaddr + sizeof(endbr64);
}
