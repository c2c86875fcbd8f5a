/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * go: arguments and results by Go's register calling convention (src/cmd/compile/abi-internal.md),
 * which Go has since 1.17. The first argument of a method is its receiver.
 */
#ifndef REQTAP_GO_BPF_H
#define REQTAP_GO_BPF_H

#include "bpf/unit_go.bpf.h"

/*
 * Argument 0 to 3. All are loaded first: the verifier allows no load from the context at an
 * offset that was chosen.
 */
static __always_inline u64 go_argument(const struct pt_regs *ctx, u32 number)
{
#if defined(__TARGET_ARCH_x86)
	u64 receiver = ctx->ax, first = ctx->bx, second = ctx->cx, third = ctx->di;
#else
	u64 receiver = ctx->regs[0], first = ctx->regs[1], second = ctx->regs[2],
	    third = ctx->regs[3];
#endif

	barrier_var(receiver);
	barrier_var(first);
	barrier_var(second);
	barrier_var(third);
	return number == 0 ? receiver : number == 1 ? first : number == 2 ? second : third;
}

static __always_inline u64 go_result(const struct pt_regs *ctx)
{
#if defined(__TARGET_ARCH_x86)
	return ctx->ax;
#else
	return ctx->regs[0];
#endif
}

#endif
