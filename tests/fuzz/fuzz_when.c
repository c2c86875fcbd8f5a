/* SPDX-License-Identifier: Apache-2.0 */
/* A time as the API's callers may give it. What is taken must mean the same when written out. */
#include <stdlib.h>
#include <string.h>
#include "agent/when.h"

#define NOW 1795536000123456789ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	uint64_t ns = 0, again = 0;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (when__parse(text, NOW, &ns) == 0 && (when__parse(text, NOW, &again) || ns != again))
		abort();
	free(text);
	return 0;
}
