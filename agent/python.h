/* SPDX-License-Identifier: Apache-2.0 */
/*
 * python: recognises CPython 3.9 to 3.14, the executable or its shared library. The unit is the
 * context (PEP 567) of the current thread state; see bpf/unit_python.bpf.h.
 */
#ifndef REQTAP_PYTHON_H
#define REQTAP_PYTHON_H

#include "agent/runtime.h"

extern const struct runtime_kind python_runtime;

/* The offsets of one minor version, 3.`minor`; NULL: not known. RT_PYTHON_OFFSETS places. */
const uint32_t *python__offsets(unsigned minor);

#endif
