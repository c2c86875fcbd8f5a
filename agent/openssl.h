/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openssl: recognises OpenSSL 1.1 and 3, a shared library or linked into a program with its
 * symbols, by the functions that bpf/tls.bpf.c follows. It is no unit: it shows requests.
 */
#ifndef REQTAP_OPENSSL_H
#define REQTAP_OPENSSL_H

#include "agent/runtime.h"

extern const struct runtime_kind openssl_runtime;

#endif
