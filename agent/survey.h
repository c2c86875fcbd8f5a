/* SPDX-License-Identifier: Apache-2.0 */
/*
 * survey: the language runtimes of all processes that run now, recognised as the agent would, with
 * nothing attached. For doctor.
 */
#ifndef REQTAP_SURVEY_H
#define REQTAP_SURVEY_H

#include "agent/runtime.h"

/* 0 or negative errno. */
int survey__runtimes(runtime_fn fn, void *ctx);

#endif
