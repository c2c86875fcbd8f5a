// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The types of vmlinux/ as BTF, for fields.c to hold against a kernel. */
#include "vmlinux/vmlinux.h"

char LICENSE[] __attribute__((section("license"), used)) = "Dual BSD/GPL";
