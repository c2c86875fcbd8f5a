/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc: recognises gRPC's C core by the functions of its C interface that bpf/unit_grpc.bpf.c
 * follows: a shared library, linked into a program with its symbols, or Python's grpcio, which has
 * none (agent/grpc_code.h).
 */
#ifndef REQTAP_GRPC_H
#define REQTAP_GRPC_H

#include "agent/runtime.h"

extern const struct runtime_kind grpc_runtime;

#endif
