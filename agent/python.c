/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/python.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MINOR_FIRST 9

/* In struct _typeobject, the same in all versions: tp_methods, tp_new. */
#define TYPE_METHODS 232
#define TYPE_NEW 312
#define METHODS_MAX 32

/*
 * From the headers of each version (Include/cpython/pystate.h, Include/internal/pycore_runtime.h,
 * pycore_interp.h and pycore_context.h); tests/live/test_python_offsets.py compiles against those.
 */
static const uint32_t offsets[][RT_PYTHON_OFFSETS] = {
	/* interpreter, threads, previous, next, thread id, context, entered, outer */
	[9 - MINOR_FIRST] = { 40, 8, 0, 8, 176, 240, 40, 16 },
	[10 - MINOR_FIRST] = { 40, 8, 0, 8, 176, 240, 40, 16 },
	[11 - MINOR_FIRST] = { 48, 16, 0, 8, 152, 224, 40, 16 },
	[12 - MINOR_FIRST] = { 48, 72, 0, 8, 136, 208, 40, 16 },
	[13 - MINOR_FIRST] = { 640, 7344, 0, 8, 152, 208, 40, 16 },
	[14 - MINOR_FIRST] = { 816, 7344, 0, 8, 152, 208, 40, 16 },
};

const uint32_t *python__offsets(unsigned minor)
{
	if (minor < MINOR_FIRST || minor - MINOR_FIRST >= sizeof(offsets) / sizeof(offsets[0]))
		return NULL;
	return offsets[minor - MINOR_FIRST];
}

static bool has(struct elf *elf, const char *symbol)
{
	struct elf_range range;

	return !elf__symbol(elf, symbol, &range);
}

/* PY_VERSION_HEX, from Py_Version (3.11 and later) or from what the minor version brought. */
static uint32_t version_hex(struct elf *elf)
{
	struct elf_range range;
	uint64_t version;

	if (!elf__symbol(elf, "Py_Version", &range) &&
	    !elf__read(elf, range.vaddr, &version, sizeof(version)))
		return version;
	if (has(elf, "Py_NewRef"))
		return 0x030a0000;
	return has(elf, "PyFrame_GetCode") ? 0x03090000 : 0x03080000;
}

/* The start of struct _Py_DebugOffsets (3.13 and later), which is the start of _PyRuntime. */
struct debug_offsets {
	char cookie[8];
	uint64_t version;
	uint64_t free_threaded;
	uint64_t runtime_size, finalizing, interpreters_head;
	uint64_t interpreter_size, id, next, threads_head;
};

/* What the file itself tells is better than the table: it holds for each patch release. */
static void read_debug_offsets(struct elf *elf, uint64_t runtime, uint32_t *offset)
{
	struct debug_offsets debug;

	if (elf__read(elf, runtime, &debug, sizeof(debug)) ||
	    memcmp(debug.cookie, "xdebugpy", sizeof(debug.cookie)) != 0)
		return;
	offset[RT_PYTHON_INTERPRETER] = debug.interpreters_head + 8; /* `main` follows `head` */
	offset[RT_PYTHON_THREADS] = debug.threads_head;
}

static void add_probe(struct runtime_match *match, const char *program, uint64_t vaddr,
		      bool at_return)
{
	match->probes[match->probe_count++] = (struct runtime_probe){ .program = program,
								      .vaddr = vaddr,
								      .at_return = at_return };
}

/* The pointer that the loader leaves there; 0: none. */
static uint64_t pointer_at(struct elf *elf, uint64_t vaddr)
{
	uint64_t value;

	if (!elf__relocation(elf, vaddr, &value) || !elf__read(elf, vaddr, &value, sizeof(value)))
		return value;
	return 0;
}

/* The function behind a method of the type (struct PyMethodDef: name, function, flags, text). */
static uint64_t method(struct elf *elf, uint64_t type, const char *name)
{
	uint64_t at = pointer_at(elf, type + TYPE_METHODS), text;
	char found[16] = "";
	size_t len = strlen(name) + 1;

	for (unsigned i = 0; at && i < METHODS_MAX; i++, at += 32) {
		text = pointer_at(elf, at);
		if (!text || elf__read(elf, text, found, len))
			return 0;
		if (memcmp(found, name, len) == 0)
			return pointer_at(elf, at + 8);
	}
	return 0;
}

/*
 * What else makes a context: the type (since 3.14 for every thread), its method copy, and what
 * extensions call. False: not all is there, and a context might have the owner of a former one.
 */
static bool add_makers(struct elf *elf, struct runtime_match *ret)
{
	static const char *const functions[] = { "PyContext_New", "PyContext_Copy" };
	struct elf_range type, function;
	uint64_t makers[2];

	if (elf__symbol(elf, "PyContext_Type", &type))
		return false;
	makers[0] = pointer_at(elf, type.vaddr + TYPE_NEW);
	makers[1] = method(elf, type.vaddr, "copy");
	for (unsigned i = 0; i < 2; i++) {
		if (!makers[i] || elf__symbol(elf, functions[i], &function))
			return false;
		add_probe(ret, "rt_py_fresh", makers[i], true);
		add_probe(ret, "rt_py_fresh", function.vaddr, true);
	}
	return true;
}

static int recognise(struct elf *elf, struct runtime_match *ret)
{
	struct elf_range runtime, copy;
	const uint32_t *known;
	uint32_t version;

	if (elf__symbol(elf, "_PyRuntime", &runtime) ||
	    elf__symbol(elf, "PyContext_CopyCurrent", &copy))
		return -ENOENT;
	version = version_hex(elf);
	snprintf(ret->version, sizeof(ret->version), "%u.%u", version >> 24, version >> 16 & 0xff);
	known = version >> 24 == 3 ? python__offsets(version >> 16 & 0xff) : NULL;
	if (!known)
		return -ENOTSUP;
	/* without the interpreter lock an object's head is longer, and all offsets differ */
	if (has(elf, "_Py_DecRefShared")) {
		strncat(ret->version, " free-threaded",
			RUNTIME_VERSION_MAX - 1 - strlen(ret->version));
		return -ENOTSUP;
	}
	ret->process.address = runtime.vaddr;
	memcpy(ret->process.offset, known, sizeof(ret->process.offset));
	read_debug_offsets(elf, runtime.vaddr, ret->process.offset);
	add_probe(ret, "rt_py_context", copy.vaddr, true);
	return add_makers(elf, ret) ? 0 : -ENOTSUP;
}

const struct runtime_kind python_runtime = {
	.name = "CPython",
	.unit = "contexts",
	.kind = RT_RUNTIME_PYTHON,
	.recognise = recognise,
};
