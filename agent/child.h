/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child: a process that is there before its program is, so that it can be followed from its
 * first byte; with pipes for its output.
 */
#ifndef REQTAP_CHILD_H
#define REQTAP_CHILD_H

#include <sys/types.h>

struct child {
	pid_t pid;
	int go;     /* closed by child__release(): then the program is executed */
	int out[2]; /* read ends of its stdout and stderr; not blocking */
	int failed; /* says errno when the program could not be executed */
};

/* Forks. The caller becomes the reaper of all that the child leaves behind. 0 or negative errno. */
int child__fork(struct child *ret, char **command);

/* Lets it go. 0, or the negative errno with which it could not be executed. */
int child__release(struct child *child);

/* Closes what is open; kills what has not been released. */
void child__close(struct child *child);

#endif
