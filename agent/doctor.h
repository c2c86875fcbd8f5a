/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor: what this kernel allows. Each check is a line: what, how it stands, and how to mend
 * it. Every command that captures asks it before it loads anything.
 */
#ifndef REQTAP_DOCTOR_H
#define REQTAP_DOCTOR_H

#include <stdbool.h>

enum doctor_state {
	DOCTOR_OK,
	DOCTOR_LESS,   /* a feature is off, capture works */
	DOCTOR_CANNOT, /* capture cannot work */
};

struct doctor_check {
	const char *name;
	enum doctor_state state;
	char found[160];
	char mend[200]; /* "" when there is nothing to mend */
};

/* A kernel function or a tracepoint; one that this kernel lacks has another in its place. */
struct doctor_hook {
	char name[48];
	bool there;
};

#define DOCTOR_CHECKS_MAX 24
#define DOCTOR_HOOKS_MAX 96

struct doctor_report {
	struct doctor_check checks[DOCTOR_CHECKS_MAX];
	unsigned count;
	struct doctor_hook hooks[DOCTOR_HOOKS_MAX]; /* when the programs were loaded */
	unsigned hook_count;
	unsigned runtime_count;
	bool can_capture;
	const char *plan; /* "fentry", "syscall", or "none" */
};

/* `load`: also tries to load and attach the programs, which takes a second. */
void doctor__examine(struct doctor_report *ret, bool load);

/*
 * Before capture begins, without loading anything: 0, or -ENOTSUP with the first reason why it
 * cannot work and its mend, one line, in *ret_problem (caller frees; NULL when out of memory).
 */
int doctor__obstacle(char **ret_problem);

#endif
