/* SPDX-License-Identifier: Apache-2.0 */
/* A path, and a mountinfo file: both are text that others on the node choose. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "agent/cgroup.h"
#include "agent/cgroup_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), mount[CGROUP_PATH_MAX];
	struct cgroup_name name;
	const char *at = text;

	memcpy(text, data, size);
	text[size] = 0;
	cgroup_name__parse(text, &name);
	if (strlen(name.id) != 0 && strlen(name.id) != CGROUP_ID_LEN)
		abort();
	cgroup__layout(text);
	while (*at)
		at = cgroup__next_mount(at, mount);
	free(text);
	return 0;
}
