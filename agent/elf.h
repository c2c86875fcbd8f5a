/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf: where things stand in a program's file. The files come from containers and may be damaged
 * on purpose: every size and offset is held against the file before it is used.
 *
 * Addresses (vaddr) are those of the file, before the loader moves a position independent one; a
 * uprobe wants the offset in the file.
 */
#ifndef REQTAP_ELF_H
#define REQTAP_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <elf.h>

#define ELF_LOADS_MAX 32 /* PT_LOAD segments; real files have 2 to 6 */

struct elf;

struct elf_range {
	uint64_t vaddr;
	uint64_t size; /* bytes; of a symbol 0 where its author gave none */
};

/*
 * An executable or shared library of 64-bit x86 or Arm. `fd` stays the caller's, and open as long
 * as the result. NULL with -ENOEXEC (another kind of file, or damaged), -ENOMEM, or what reading
 * gave, in *ret_err.
 */
struct elf *elf__open(int fd, int *ret_err);
struct elf *elf__free(struct elf *elf);

uint16_t elf__machine(const struct elf *elf); /* EM_X86_64 or EM_AARCH64 */

/* A defined symbol, of .dynsym before .symtab. -ENOENT. Of a TLS symbol: its offset there. */
int elf__symbol(struct elf *elf, const char *name, struct elf_range *ret);

/* A section that is loaded. -ENOENT. */
int elf__section(struct elf *elf, const char *name, struct elf_range *ret);

/* Segment number `index` (PT_LOAD, in order): the part that is in the file. -ENOENT past the last.
 */
int elf__load(const struct elf *elf, unsigned index, struct elf_range *ret);

/* vaddr → offset in the file. -ENOENT where the file has no byte for it. */
int elf__offset(const struct elf *elf, uint64_t vaddr, uint64_t *ret);

/*
 * Where to probe the entry of the function at vaddr: behind an endbr64, which the kernel would
 * single-step at three times the price. What follows is mostly a push, which it emulates; the stack
 * and the arguments are as at the entry.
 */
uint64_t elf__probe_place(const struct elf *elf, uint64_t vaddr);

/* The file's `len` bytes at vaddr, before relocation. -ENOENT when not all are in one segment. */
int elf__read(const struct elf *elf, uint64_t vaddr, void *ret, size_t len);

/*
 * What the loader will write to the 8 bytes at vaddr: base + *ret, from a relative relocation.
 * -ENOENT: none is there.
 */
int elf__relocation(struct elf *elf, uint64_t vaddr, uint64_t *ret);

#endif
