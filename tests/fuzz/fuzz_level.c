/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "agent/level.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum severity severity = level__from_line((struct str){ (const char *)data, size });

	if (severity != SEVERITY_UNSET && !severity_text(severity))
		abort();
	return 0;
}
