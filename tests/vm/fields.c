/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fields OBJECT: is every kernel field that OBJECT reads there in this kernel? Read from the CO-RE
 * relocations, so it is what the programs do read, not what a header says. A lacking field that
 * OBJECT asks after (bpf_core_field_exists) has its alternative.
 */
#include <bpf/btf.h>
#include <fcntl.h>
#include <gelf.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* .BTF.ext: Documentation/bpf/btf.rst of the kernel, section 4 */
struct ext_header {
	__u16 magic;
	__u8 version, flags;
	__u32 header_len, func_off, func_len, line_off, line_len, relo_off, relo_len;
};

struct ext_section {
	__u32 name, count;
};

static const struct btf_type *resolve(const struct btf *btf, __u32 id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t)))
		t = btf__type_by_id(btf, t->type);
	return t;
}

/* The type of member `name`; looks into anonymous members too, where kernels move fields to. */
static const struct btf_type *member(const struct btf *btf, const struct btf_type *t,
				     const char *name, int depth)
{
	const struct btf_member *m = btf_members(t);

	if (!btf_is_composite(t) || depth > 8)
		return NULL;
	for (int i = 0; i < btf_vlen(t); i++) {
		const char *its = btf__name_by_offset(btf, m[i].name_off);
		const struct btf_type *inner = resolve(btf, m[i].type);

		if (strcmp(its, name) == 0)
			return inner;
		inner = its[0] ? NULL : member(btf, inner, name, depth + 1);
		if (inner)
			return inner;
	}
	return NULL;
}

/* Follows the relocation's "0:1:2" in both; `path` gets it in words. Is it in the kernel? */
static bool follow(const struct btf *kernel, const struct btf *own,
		   const struct bpf_core_relo *relo, char *path, size_t size)
{
	const struct btf_type *t = resolve(own, relo->type_id), *theirs = NULL;
	const char *name = btf__name_by_offset(own, t->name_off), *flavour = strstr(name, "___");
	const char *access = strchr(btf__name_by_offset(own, relo->access_str_off), ':');
	char base[128];
	int id;

	snprintf(base, sizeof(base), "%.*s", flavour ? (int)(flavour - name) : (int)strlen(name),
		 name);
	snprintf(path, size, "%s", name);
	id = btf__find_by_name_kind(kernel, base, BTF_INFO_KIND(t->info));
	if (id > 0)
		theirs = resolve(kernel, id);
	for (; access && btf_is_composite(t); access = strchr(access + 1, ':')) {
		const struct btf_member *m = btf_members(t) + atoi(access + 1);

		name = btf__name_by_offset(own, m->name_off);
		t = resolve(own, m->type);
		if (!name[0])
			continue;
		snprintf(path + strlen(path), size - strlen(path), ".%s", name);
		theirs = theirs ? member(kernel, theirs, name, 0) : NULL;
	}
	return theirs;
}

struct relos {
	const struct bpf_core_relo *at[4096];
	int count;
};

/* libbpf 1.1 declares btf_ext__raw_data() and does not export it. NULL: no such section. */
static const char *ext_data(Elf *elf)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) &&
		    strcmp(elf_strptr(elf, names, header.sh_name), ".BTF.ext") == 0)
			return elf_getdata(section, NULL)->d_buf;
	return NULL;
}

static void collect(const char *raw, struct relos *ret)
{
	const struct ext_header *header = (const void *)raw;
	const char *at = raw + header->header_len + header->relo_off, *end = at + header->relo_len;
	__u32 record = header->relo_len ? *(const __u32 *)at : 0;

	for (at += sizeof(record); at < end;) {
		const struct ext_section *section = (const void *)at;

		at += sizeof(*section);
		for (__u32 i = 0; i < section->count; i++, at += record)
			if (ret->count < 4096)
				ret->at[ret->count++] = (const void *)at;
	}
}

static bool same_field(const struct btf *own, const struct bpf_core_relo *a,
		       const struct bpf_core_relo *b)
{
	return a->type_id == b->type_id && strcmp(btf__name_by_offset(own, a->access_str_off),
						  btf__name_by_offset(own, b->access_str_off)) == 0;
}

static bool asked_after(const struct btf *own, const struct relos *relos,
			const struct bpf_core_relo *relo)
{
	for (int i = 0; i < relos->count; i++)
		if (relos->at[i]->kind == BPF_CORE_FIELD_EXISTS &&
		    same_field(own, relos->at[i], relo))
			return true;
	return false;
}

static int check(const struct btf *kernel, const struct btf *own, const struct relos *relos)
{
	int number = 0, bad = 0;

	for (int i = 0; i < relos->count; i++) {
		const struct bpf_core_relo *relo = relos->at[i];
		bool seen = relo->kind > BPF_CORE_FIELD_RSHIFT_U64;
		char path[256];

		for (int j = 0; j < i && !seen; j++)
			seen = same_field(own, relos->at[j], relo);
		if (seen)
			continue;
		if (follow(kernel, own, relo, path, sizeof(path)))
			printf("ok %d - %s\n", ++number, path);
		else if (asked_after(own, relos, relo))
			printf("ok %d - %s: not in this kernel, has its alternative\n", ++number,
			       path);
		else {
			printf("not ok %d - %s: this kernel has no such field\n", ++number, path);
			bad = 1;
		}
	}
	if (!number)
		printf("not ok 1 - the object reads no kernel field\n");
	return bad || !number;
}

int main(int argc, char **argv)
{
	static struct relos relos;
	struct btf *kernel = btf__load_vmlinux_btf(), *own = NULL;
	const char *ext = NULL;
	Elf *elf = NULL;
	int bad = 1, fd;

	elf_version(EV_CURRENT);
	fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		own = btf__parse_elf(argv[1], NULL);
		elf = elf_begin(fd, ELF_C_READ, NULL);
		ext = ext_data(elf);
	}
	if (kernel && own && ext) {
		collect(ext, &relos);
		bad = check(kernel, own, &relos);
	} else {
		printf("not ok 1 - %s\n",
		       kernel ? "usage: fields OBJECT" : "this kernel has no BTF");
	}
	elf_end(elf);
	if (fd >= 0)
		close(fd);
	btf__free(own);
	btf__free(kernel);
	return bad;
}
