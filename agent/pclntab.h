/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pclntab: where the functions of a Go program are. The runtime needs this table for its stack
 * traces, so it is there when the symbols are stripped.
 *
 * Layouts: Go source, runtime/symtab.go (struct pcHeader) and cmd/link/internal/ld/pcln.go of the
 * releases 1.16, 1.18 and 1.20; debug/gosym/pclntab.go reads them all.
 */
#ifndef REQTAP_PCLNTAB_H
#define REQTAP_PCLNTAB_H

#include "agent/elf.h"

#define PCLNTAB_BASES 4 /* at most, see pclntab__bases() */

enum pclntab_layout {
	PCLNTAB_1_16 = 1, /* absolute addresses; Go 1.16 and 1.17 */
	PCLNTAB_1_18 = 2, /* relative to the start of the text; Go 1.18 and later */
};

struct pclntab {
	uint64_t vaddr;
	enum pclntab_layout layout;
	uint64_t functions;        /* how many */
	uint64_t names, names_end; /* addresses */
	uint64_t functab;
};

struct pclntab_function {
	const char *name;
	uint64_t entry; /* address, or offset in the text, as the layout has it */
	uint64_t size;  /* bytes to the next function; 0: not found */
};

/* -ENOENT: not a Go program, or one older than 1.16. -ENOEXEC: damaged. */
int pclntab__find(struct elf *elf, struct pclntab *ret);

/* Looks up `count` functions, at most 32, in one pass. -ENOEXEC: damaged; 0 though some are
 * missing. */
int pclntab__functions(struct elf *elf, const struct pclntab *table,
		       struct pclntab_function *functions, unsigned count);

/*
 * What `entry` may be relative to, the likeliest first; returns how many. Where the linker leaves
 * it to the loader, the table does not say, and with C code in the program the text does not
 * begin with Go's: the caller must look whether the code there is what it wants.
 */
unsigned pclntab__bases(struct elf *elf, const struct pclntab *table, uint64_t ret[PCLNTAB_BASES]);

#endif
