/* SPDX-License-Identifier: Apache-2.0 */
/* OTEL_EXPORTER_OTLP_HEADERS, an endpoint and Retry-After: text from users and receivers. */
#include <stdlib.h>
#include <string.h>
#include "agent/destination.h"
#include "agent/export.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct destination destination;
	char *text = strndup((const char *)data, size);

	if (!text)
		return 0;
	destination__init(&destination);
	destination__add_header_list(&destination, text);
	for (size_t i = 0; i < destination.header_count; i++)
		if (strpbrk(secret__text(destination.headers[i].value), "\r\n"))
			abort();
	destination__clear(&destination);
	destination__endpoint_problem(text);
	if (export__retry_after_ns(text, 1700000000) > 3600 * 1000000000ULL)
		abort();
	free(text);
	return 0;
}
