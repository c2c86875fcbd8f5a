/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selector: Kubernetes' label selectors, matched here, since the kubelet's list knows none:
 * "a=b,c!=d,e in (f,g),h notin (i),j,!k" (apimachinery, pkg/labels/selector.go).
 */
#ifndef REQTAP_SELECTOR_H
#define REQTAP_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>

struct selector;

/* NULL: not a selector, or out of memory. */
struct selector *selector__parse(const char *text);
struct selector *selector__free(struct selector *selector);

/* `find`: a label's value, or NULL. */
bool selector__match(const struct selector *selector,
		     const char *(*find)(void *ctx, const char *key), void *ctx);

#endif
