/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fields TYPES: is every kernel field that bpf/ reads there in this kernel? TYPES is the compiled
 * vmlinux/ header. A struct name___flavour is an alternative: of the flavours of one name, and the
 * name itself if it is written beside them, one must fit.
 */
#include <bpf/btf.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_struct(const struct btf_type *t)
{
	return btf_is_struct(t) || btf_is_union(t);
}

/* Looks into anonymous members too, where kernels move fields to. */
static bool has_member(const struct btf *btf, const struct btf_type *t, const char *name, int depth)
{
	const struct btf_member *m = btf_members(t);

	for (int i = 0; i < btf_vlen(t); i++) {
		const char *its = btf__name_by_offset(btf, m[i].name_off);
		const struct btf_type *inner = btf__type_by_id(btf, m[i].type);

		while (btf_is_mod(inner))
			inner = btf__type_by_id(btf, inner->type);
		if (strcmp(its, name) == 0)
			return true;
		if (!its[0] && depth < 8 && is_struct(inner) && has_member(btf, inner, name, depth + 1))
			return true;
	}
	return false;
}

/* The first member that the kernel's type lacks; NULL: it fits; "" the type itself is lacking. */
static const char *lacking(const struct btf *kernel, const struct btf *types, const struct btf_type *t,
			   const char *base)
{
	const struct btf_member *m = btf_members(t);
	int id = btf__find_by_name_kind(kernel, base, BTF_INFO_KIND(t->info));

	if (id < 0)
		return "";
	for (int i = 0; i < btf_vlen(t); i++) {
		const char *name = btf__name_by_offset(types, m[i].name_off);

		if (name[0] && !has_member(kernel, btf__type_by_id(kernel, id), name, 0))
			return name;
	}
	return NULL;
}

/* The length of the name without its flavour. */
static int base_length(const char *name)
{
	const char *flavour = strstr(name, "___");

	return flavour ? (int)(flavour - name) : (int)strlen(name);
}

static bool any_fits(const struct btf *kernel, const struct btf *types, const char *base)
{
	for (unsigned id = 1; id < btf__type_cnt(types); id++) {
		const struct btf_type *t = btf__type_by_id(types, id);
		const char *name = is_struct(t) ? btf__name_by_offset(types, t->name_off) : "";
		int length = base_length(name);

		if (length == (int)strlen(base) && strncmp(name, base, length) == 0 &&
		    !lacking(kernel, types, t, base))
			return true;
	}
	return false;
}

/* Records of the tracepoints' ABI, which no BTF names. */
static bool is_abi(const char *name)
{
	return strcmp(name, "syscall_enter") == 0 || strcmp(name, "syscall_exit") == 0;
}

static int check(const struct btf *kernel, const struct btf *types)
{
	int number = 0, bad = 0;

	for (unsigned id = 1; id < btf__type_cnt(types); id++) {
		const struct btf_type *t = btf__type_by_id(types, id);
		const char *name = is_struct(t) ? btf__name_by_offset(types, t->name_off) : "";
		const char *lack;
		char base[64];

		if (!name[0] || btf_vlen(t) == 0 || is_abi(name))
			continue;
		snprintf(base, sizeof(base), "%.*s", base_length(name), name);
		lack = lacking(kernel, types, t, base);
		if (!lack)
			printf("ok %d - %s\n", ++number, name);
		else if (any_fits(kernel, types, base))
			printf("ok %d - %s (another flavour fits)\n", ++number, name);
		else {
			printf("not ok %d - %s: the kernel has no '%s'\n", ++number, name, lack);
			bad = 1;
		}
	}
	return bad || number == 0;
}

int main(int argc, char **argv)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	struct btf *types = argc == 2 ? btf__parse_elf(argv[1], NULL) : NULL;
	int bad = 1;

	if (!kernel)
		printf("not ok 1 - this kernel has no BTF\n");
	else if (!types)
		printf("not ok 1 - usage: fields TYPES\n");
	else
		bad = check(kernel, types);
	btf__free(types);
	btf__free(kernel);
	return bad;
}
