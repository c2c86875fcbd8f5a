/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rights: the capabilities that the agent works with, each for one thing; what it has besides is
 * given up when all is attached.
 */
#ifndef REQTAP_RIGHTS_H
#define REQTAP_RIGHTS_H

#include <stdbool.h>

struct right {
	unsigned capability; /* CAP_BPF … */
	const char *name;
	const char *what; /* it is for: "load programs" */
	bool vital;       /* without it nothing is captured */
	bool admin_does;  /* CAP_SYS_ADMIN holds it too */
};

/* Ends with a right without a name. */
extern const struct right rights[];

/* Whether this process has it, by itself or by CAP_SYS_ADMIN. */
bool rights__has(const struct right *right);

/*
 * Gives up what is not in `rights`, for good, in this thread and those that it starts: to be called
 * before the first. CAP_SYS_ADMIN stays where one of them is not enough without it. 0 or negative
 * errno.
 */
int rights__drop(void);

#endif
