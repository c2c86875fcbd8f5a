/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe_load OBJECT: loads each program of it alone, prints one TAP line each with its instruction
 * counts, and the verifier's words where it refuses. A trampoline whose kernel function is absent
 * is skipped: the other plan, or the function's other name, stands in.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_BYTES (16u << 20)
#define LOG_STATS 4 /* BPF_LOG_STATS: "processed N insns …" alone */

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

/* The kernel function of a trampoline program, NULL for other programs. */
static const char *trampoline_target(const struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);
	const char *slash = strchr(section, '/');

	return strncmp(section, "fentry", 6) == 0 || strncmp(section, "fexit", 5) == 0 ? slash + 1
										       : NULL;
}

static long insns_processed(const char *log)
{
	const char *at = strstr(log, "processed ");

	return at ? strtol(at + strlen("processed "), NULL, 10) : -1;
}

/* "184+0+96", of the program and what it calls. */
static const char *stack_depth(const char *log)
{
	const char *at = strstr(log, "stack depth ");

	return at ? at + strlen("stack depth ") : "";
}

static int load_one(const char *path, const char *name, unsigned log_level, char *log)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	int err;

	if (!object)
		return -errno;
	bpf_object__for_each_program(program, object)
	{
		bool this = strcmp(bpf_program__name(program), name) == 0;

		bpf_program__set_autoload(program, this);
		if (this) {
			bpf_program__set_log_level(program, log_level);
			bpf_program__set_log_buf(program, log, LOG_BYTES);
		}
	}
	err = bpf_object__load(object);
	bpf_object__close(object);
	return err;
}

static int report(const char *path, const struct bpf_program *program, const struct btf *kernel,
		  int number)
{
	static char log[LOG_BYTES];
	const char *name = bpf_program__name(program);
	const char *target = trampoline_target(program);
	int err;

	if (target && btf__find_by_name_kind(kernel, target, BTF_KIND_FUNC) < 0) {
		printf("ok %d - %s # SKIP this kernel has no %s\n", number, name, target);
		return 0;
	}
	log[0] = 0;
	err = load_one(path, name, LOG_STATS, log);
	if (!err) {
		printf("ok %d - %s: %zu instructions, %ld verified, stack %.*s\n", number, name,
		       bpf_program__insn_cnt(program), insns_processed(log),
		       (int)strspn(stack_depth(log), "0123456789+"), stack_depth(log));
		return 0;
	}
	load_one(path, name, 1, log);
	printf("not ok %d - %s: %s\n", number, name, strerror(-err));
	size_t length = strlen(log);
	printf("%s\n", log + (length > 20000 ? length - 20000 : 0));
	return 1;
}

int main(int argc, char **argv)
{
	struct bpf_object *object = argc == 2 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct btf *kernel = btf__load_vmlinux_btf();
	struct bpf_program *program;
	int number = 0, bad = 0;

	if (!object || !kernel) {
		printf("not ok 1 - %s\n",
		       object ? "this kernel has no BTF" : "usage: probe_load OBJECT");
		return 1;
	}
	libbpf_set_print(quiet);
	bpf_object__for_each_program(program, object) bad |=
		report(argv[1], program, kernel, ++number);
	btf__free(kernel);
	bpf_object__close(object);
	return bad || number == 0;
}
