/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind of text that a server may send, and the selectors and rules of the command line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "agent/kube.h"

static void on_change(void *ctx, struct kube_change *change)
{
	if (change->pod)
		pod__container(change->pod, change->pod->uid);
	pod__free(change->pod);
	kube_event__free(change->event);
}

static void as_options(const uint8_t *data, size_t size)
{
	struct identity_map map = { 0 };
	char *text = malloc(size + 1);
	struct selector *selector;

	memcpy(text, data, size);
	text[size] = 0;
	selector = selector__parse(text);
	selector__free(selector);
	identity_map__parse(&map, text);
	kube__time(text);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct identity_map map;
	struct kube_rules rules = { .map = &map };
	const char *text = (const char *)data;
	struct kube_change change;
	struct kube_status status;
	struct kube_lease lease;
	struct kube_list list;

	if (!map.counts[0])
		identity_map__init(&map);
	kube__list(&rules, text, size, on_change, NULL, &list);
	if (!kube__watch(&rules, text, size, &change))
		on_change(NULL, &change);
	kube__status(text, size, &status);
	kube__lease(text, size, &lease);
	as_options(data, size);
	return 0;
}
