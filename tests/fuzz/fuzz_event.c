/* SPDX-License-Identifier: Apache-2.0 */
/* Ring records, each behind a 16-bit length, through all stages; sinks read what they are given. */
#include <stdlib.h>
#include "agent/pipeline.h"
#include "agent/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sink(void *ctx, const struct record *record)
{
	const struct str texts[] = { record->body, record->message, record->exc_info };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t at = 0, n = 1;

		while (at < texts[i].len && n) {
			n = utf8__sequence(texts[i].data + at, texts[i].len - at);
			at += n;
		}
		if (at != texts[i].len)
			abort(); /* no sink may see what is not UTF-8 */
	}
	if (record->request_id.len > RT_ID_MAX || !record->replica)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pipeline_config config = { .line_max_bytes = 1024, .sink = sink };
	struct replica_table *replicas = replica_table__new(NULL);
	struct pipeline *pipeline = pipeline__new(&config, replicas);

	while (pipeline && size >= 2) {
		size_t len = data[0] | (size_t)data[1] << 8;
		struct event *event;

		data += 2;
		size -= 2;
		len = len < size ? len : size;
		event = malloc(len ? len : 1);
		memcpy(event, data, len);
		/* an exec names a process to read from /proc: not of this machine */
		if (len < sizeof(*event) || event->kind != RT_EVENT_EXEC)
			(void)pipeline__event(pipeline, event, len);
		free(event);
		data += len;
		size -= len;
	}
	pipeline__flush(pipeline);
	pipeline__free(pipeline);
	replica_table__free(replicas);
	return 0;
}
