/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask: a question to the agent that runs with a state directory, on the UNIX socket in it
 * (keep.h).
 */
#ifndef REQTAP_ASK_H
#define REQTAP_ASK_H

#include <stddef.h>

struct answer {
	char *text; /* the caller frees; NULL: none came */
	size_t len;
};

/* GET `path`. EXIT_DONE on success; else EXIT_FAILED: where no agent answers, that has been said;
 * an answer that is no success is in *answer. */
int ask(const char *state_dir, const char *path, struct answer *answer);

#endif
