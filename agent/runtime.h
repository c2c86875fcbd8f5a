/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime: finds the language runtimes of the targets and attaches what follows their units.
 *
 * A runtime is one small file with a struct runtime_kind: it recognises an executable or library,
 * names the functions to probe, and says what the kernel side must know in each process. Each
 * file is looked at once; its probes are attached to the file, so that they are there for every
 * process that maps it, which is not stopped for it. A process without a known runtime has its
 * threads for units.
 */
#ifndef REQTAP_RUNTIME_H
#define REQTAP_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "agent/elf.h"
#include "agent/probe.h"
#include "bpf/event.h"

#define RUNTIME_PROBES_MAX 48
#define RUNTIME_VERSION_MAX 32

struct runtime_probe {
	const char *program; /* of the kernel side, a constant */
	uint64_t vaddr;
	bool at_return;
};

/* What a runtime_kind finds in a file. */
struct runtime_match {
	struct runtime_probe probes[RUNTIME_PROBES_MAX];
	unsigned probe_count;
	/* For each process that maps the file: `address` is a vaddr, moved by where the file is
	 * loaded; `image` is set by the table. */
	struct runtime process;
	char version[RUNTIME_VERSION_MAX]; /* for people; "" where the file does not tell */
};

struct runtime_kind {
	const char *name;
	const char *unit; /* what its lines are told apart by, in the plural; NULL: it has none */
	enum rt_runtime_kind kind;
	/* 0 with *ret filled; -ENOENT: not such a file; -ENOTSUP: a version that is not known, with
	 * ret->version. *ret is zero before. */
	int (*recognise)(struct elf *elf, struct runtime_match *ret);
};

struct runtime_stats {
	uint64_t files;    /* looked at */
	uint64_t images;   /* with a runtime, attached now */
	uint64_t detached; /* since no process used them */
	uint64_t unknown_version;
	uint64_t failed; /* could not be attached, or its process not be set up */
	uint64_t full;   /* more images than are followed at once */
};

struct runtime_config {
	struct probe *probe; /* NULL: files are recognised, and nothing is attached */
	const struct runtime_kind *const *kinds;  /* NULL-terminated; NULL: all that reqtap knows */
	void (*say)(void *ctx, const char *line); /* what a person should know, once a file */
	void *ctx;
};

struct runtime_table;

/* NULL: no memory. */
struct runtime_table *runtime_table__new(const struct runtime_config *config);
struct runtime_table *runtime_table__free(struct runtime_table *table);

/* RT_EVENT_EXEC and RT_EVENT_MAP; others are passed over. */
void runtime_table__event(struct runtime_table *table, const struct event *event, uint64_t now_ns);

/* A process that ran before it was a target. 0 or negative errno; -ENOENT: it ended. */
int runtime_table__process(struct runtime_table *table, pid_t tgid);

/* Detaches what no process uses any more; returns when to call again. */
uint64_t runtime_table__tick(struct runtime_table *table, uint64_t now_ns);

const struct runtime_stats *runtime_table__stats(const struct runtime_table *table);

/* A runtime that was recognised in a file; its text lives until the callback returns. */
struct runtime_info {
	const char *name, *version, *path;
	const char *unit;   /* of the kind, while it is followed; else "threads", or "" */
	const char *why;    /* it is not followed; "": it is */
	unsigned processes; /* 0 when it is not followed */
};

/* All that are known, those first that are followed; for status and doctor. */
typedef void (*runtime_fn)(void *ctx, const struct runtime_info *info);
void runtime_table__each(struct runtime_table *table, runtime_fn fn, void *ctx);

#endif
