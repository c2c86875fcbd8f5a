/* SPDX-License-Identifier: Apache-2.0 */
/*
 * level: the severity that a line gives itself. What is no known shape is unset, never guessed.
 */
#ifndef REQTAP_LEVEL_H
#define REQTAP_LEVEL_H

#include "agent/record.h"

/* A level's name in any letter case ("warn", "WARNING", "critical"), or SEVERITY_UNSET. */
enum severity level__from_word(struct str word);

/* A whole plain-text line: Python, uvicorn, klog and glog, Rust tracing, logfmt, brackets. */
enum severity level__from_line(struct str line);

#endif
