/* SPDX-License-Identifier: Apache-2.0 */
/* What a receiver answers, and a request to split: bytes from the network. */
#include <stdlib.h>
#include <string.h>
#include "agent/otlp.h"
#include "agent/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct otlp_answer answer;
	struct otlp_half halves[2];
	char text[64];

	otlp__decode_response(data, size, &answer);
	otlp__decode_status(data, size, &answer);
	if (otlp__split(data, size, halves) == 0) {
		if (!halves[0].records || !halves[1].records)
			abort();
		free(halves[0].data);
		free(halves[1].data);
	}
	otlp__clean_text(text, sizeof(text), (const char *)data, size);
	for (const char *at = text; *at;) {
		size_t len = utf8__sequence(at, strlen(at));

		if (!len || (unsigned char)*at < 0x20)
			abort();
		at += len;
	}
	return 0;
}
