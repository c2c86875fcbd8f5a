/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct heap {
	struct heap_item *items;
	size_t count, size;
};

struct heap *heap__new(void)
{
	return calloc(1, sizeof(struct heap));
}

struct heap *heap__free(struct heap *heap)
{
	if (!heap)
		return NULL;
	for (size_t i = 0; i < heap->count; i++)
		free(heap->items[i].data);
	free(heap->items);
	free(heap);
	return NULL;
}

size_t heap__count(const struct heap *heap)
{
	return heap->count;
}

bool heap__before(const struct heap_item *a, const struct heap_item *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->seq < b->seq;
}

int heap__put(struct heap *heap, const struct heap_item *item)
{
	struct heap_item copy = *item;
	size_t at = heap->count;

	if (heap->count == heap->size) {
		size_t size = heap->size ? 2 * heap->size : 256;
		struct heap_item *grown = realloc(heap->items, size * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		heap->items = grown;
		heap->size = size;
	}
	copy.data = malloc(item->len);
	if (!copy.data)
		return -ENOMEM;
	memcpy(copy.data, item->data, item->len);
	for (heap->count++; at && heap__before(&copy, &heap->items[(at - 1) / 2]);
	     at = (at - 1) / 2)
		heap->items[at] = heap->items[(at - 1) / 2];
	heap->items[at] = copy;
	return 0;
}

const struct heap_item *heap__first(const struct heap *heap)
{
	return heap->count ? &heap->items[0] : NULL;
}

void heap__drop(struct heap *heap)
{
	struct heap_item last;
	size_t at = 0, child;

	if (!heap->count)
		return;
	free(heap->items[0].data);
	last = heap->items[--heap->count];
	for (; (child = 2 * at + 1) < heap->count; at = child) {
		if (child + 1 < heap->count &&
		    heap__before(&heap->items[child + 1], &heap->items[child]))
			child++;
		if (!heap__before(&heap->items[child], &last))
			break;
		heap->items[at] = heap->items[child];
	}
	heap->items[at] = last;
}
