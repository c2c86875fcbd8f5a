/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON line; what is read of it lies within the line or the reader, and can be read. */
#include <stdlib.h>
#include "agent/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_reader *reader = json_reader__new();
	struct json_line line;
	volatile char last;

	if (!reader)
		return 0;
	if (!json_reader__line(reader, (struct str){ (const char *)data, size }, &line)) {
		const struct str texts[] = { line.message, line.request_id, line.exc_info };

		for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
			if (texts[i].len > size)
				abort();
			if (texts[i].len)
				last = texts[i].data[texts[i].len - 1];
		}
		(void)last;
	}
	json_reader__free(reader);
	return 0;
}
