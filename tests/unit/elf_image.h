/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small ELF file made in memory: one segment that holds the whole file at IMAGE_BASE, and
 * sections that the test adds.
 */
#ifndef REQTAP_TESTS_ELF_IMAGE_H
#define REQTAP_TESTS_ELF_IMAGE_H

#include "tests/unit/unit.h"
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#define IMAGE_BASE 0x400000
#define IMAGE_BYTES 16384
#define IMAGE_SECTIONS 12

struct elf_image {
	uint8_t bytes[IMAGE_BYTES];
	size_t len;
	Elf64_Shdr sections[IMAGE_SECTIONS];
	unsigned section_count;
	char names[512];
	size_t names_len;
};

static inline void image_begin(struct elf_image *image)
{
	*image = (struct elf_image){ .section_count = 1, .names_len = 1 };
	image->len = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
}

static inline uint64_t image_vaddr(const struct elf_image *image)
{
	return IMAGE_BASE + image->len;
}

/* Returns the section's number. */
static inline unsigned image_section(struct elf_image *image, const char *name, uint32_t type,
				     const void *data, size_t size)
{
	Elf64_Shdr *section = &image->sections[image->section_count];

	image->len = (image->len + 15) & ~15UL;
	assert_true(image->section_count < IMAGE_SECTIONS && image->len + size < IMAGE_BYTES);
	*section = (Elf64_Shdr){
		.sh_name = image->names_len,
		.sh_type = type,
		.sh_flags = SHF_ALLOC,
		.sh_addr = image_vaddr(image),
		.sh_offset = image->len,
		.sh_size = size,
		.sh_addralign = 1,
	};
	memcpy(image->names + image->names_len, name, strlen(name) + 1);
	image->names_len += strlen(name) + 1;
	memcpy(image->bytes + image->len, data, size);
	image->len += size;
	return image->section_count++;
}

/* A table of one symbol. */
static inline void image_symbol(struct elf_image *image, uint32_t type, const char *name,
				uint64_t value, uint64_t size)
{
	Elf64_Sym symbols[2] = { { 0 },
				 { .st_name = 1,
				   .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
				   .st_shndx = 1,
				   .st_value = value,
				   .st_size = size } };
	char strings[64] = "";
	unsigned number;

	memcpy(strings + 1, name, strlen(name) + 1);
	image_section(image, ".strings", SHT_STRTAB, strings, sizeof(strings));
	number = image_section(image, ".symbols", type, symbols, sizeof(symbols));
	image->sections[number].sh_link = number - 1;
	image->sections[number].sh_entsize = sizeof(Elf64_Sym);
}

static inline void image_end(struct elf_image *image, uint16_t machine)
{
	Elf64_Ehdr header = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = machine,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(header),
		.e_ehsize = sizeof(header),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
		.e_shentsize = sizeof(Elf64_Shdr),
	};
	Elf64_Phdr segment = { .p_type = PT_LOAD, .p_vaddr = IMAGE_BASE, .p_flags = PF_R | PF_X };

	/* the section's own name goes in too: it is copied after it has been added */
	header.e_shstrndx =
		image_section(image, ".names", SHT_STRTAB, image->names, sizeof(image->names));
	memcpy(image->bytes + image->sections[header.e_shstrndx].sh_offset, image->names,
	       sizeof(image->names));
	image->len = (image->len + 15) & ~15UL;
	segment.p_filesz = segment.p_memsz = image->len;
	header.e_shoff = image->len;
	header.e_shnum = image->section_count;
	assert_true(image->len + sizeof(image->sections) <= IMAGE_BYTES);
	memcpy(image->bytes, &header, sizeof(header));
	memcpy(image->bytes + sizeof(header), &segment, sizeof(segment));
	memcpy(image->bytes + image->len, image->sections, sizeof(image->sections));
	image->len += image->section_count * sizeof(Elf64_Shdr);
}

/* A file of the first `len` bytes; the caller closes it. */
static inline int image_file(const struct elf_image *image, size_t len)
{
	int fd = memfd_create("image", 0);

	assert_true(fd >= 0 && write(fd, image->bytes, len) == (ssize_t)len);
	return fd;
}

#endif
