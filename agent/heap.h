/* SPDX-License-Identifier: Apache-2.0 */
/* heap: copies of records, the first in the order (time, number) on top. */
#ifndef REQTAP_HEAP_H
#define REQTAP_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_item {
	uint64_t time_ns;
	int64_t seq;
	uint8_t *data; /* a chunk entry */
	size_t len;
};

struct heap;

struct heap *heap__new(void);
struct heap *heap__free(struct heap *heap);

size_t heap__count(const struct heap *heap);
bool heap__before(const struct heap_item *a, const struct heap_item *b);

/* Copies the item and its data. 0 or -ENOMEM. */
int heap__put(struct heap *heap, const struct heap_item *item);

/* NULL: it is empty. Lives until it is dropped. */
const struct heap_item *heap__first(const struct heap *heap);
void heap__drop(struct heap *heap);

#endif
