/* SPDX-License-Identifier: Apache-2.0 */
/* The rare side of otlp.h: answers of the receiver, and requests that were too large for it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "agent/otlp.h"
#include "agent/utf8.h"
#include "proto/otlp.pb-c.h"

void otlp__clean_text(char *ret, size_t size, const char *text, size_t len)
{
	size_t used = 0;

	for (size_t i = 0; i < len && used + 1 < size; i++) {
		unsigned char c = (unsigned char)text[i];

		ret[used++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
	}
	while (used && ret[used - 1] == ' ')
		used--;
	/* Also mends a character that the cut went through. */
	utf8__mend(ret, used);
	ret[used] = '\0';
}

static void set_message(struct otlp_answer *answer, const char *text)
{
	otlp__clean_text(answer->message, sizeof(answer->message), text, strlen(text));
}

int otlp__decode_response(const uint8_t *data, size_t len, struct otlp_answer *ret)
{
	Otlp__ExportLogsServiceResponse *response =
		otlp__export_logs_service_response__unpack(NULL, len, data);

	*ret = (struct otlp_answer){ 0 };
	if (!response)
		return -EBADMSG;
	if (response->partial_success) {
		int64_t rejected = response->partial_success->rejected_log_records;

		ret->rejected = rejected > 0 ? (uint64_t)rejected : 0;
		set_message(ret, response->partial_success->error_message);
	}
	otlp__export_logs_service_response__free_unpacked(response, NULL);
	return 0;
}

int otlp__decode_status(const uint8_t *data, size_t len, struct otlp_answer *ret)
{
	Otlp__Status *status = otlp__status__unpack(NULL, len, data);

	*ret = (struct otlp_answer){ 0 };
	if (!status)
		return -EBADMSG;
	set_message(ret, status->message);
	otlp__status__free_unpacked(status, NULL);
	return 0;
}

static size_t count_records(const Otlp__ExportLogsServiceRequest *request)
{
	size_t count = 0;

	for (size_t i = 0; i < request->n_resource_logs; i++)
		for (size_t j = 0; j < request->resource_logs[i]->n_scope_logs; j++)
			count += request->resource_logs[i]->scope_logs[j]->n_log_records;
	return count;
}

/* Packs records [from, to) of `request`, which is as it was when this returns. */
static int pack_range(Otlp__ExportLogsServiceRequest *request, size_t from, size_t to,
		      struct otlp_half *ret)
{
	Otlp__ResourceLogs *resource = request->resource_logs[0];
	size_t count = resource->n_scope_logs, used = 0, at = 0;
	Otlp__ScopeLogs **all = resource->scope_logs, **some = calloc(count, sizeof(*some));
	Otlp__ScopeLogs *copies = calloc(count, sizeof(*copies));
	int err = some && copies ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < count; at += all[i++]->n_log_records) {
		size_t end = at + all[i]->n_log_records;
		size_t first = from > at ? from : at, last = to < end ? to : end;

		if (first >= last)
			continue;
		copies[used] = *all[i];
		copies[used].log_records += first - at;
		copies[used].n_log_records = last - first;
		some[used] = &copies[used];
		used++;
	}
	if (!err) {
		resource->scope_logs = some;
		resource->n_scope_logs = used;
		ret->data = malloc(otlp__export_logs_service_request__get_packed_size(request));
		if (ret->data)
			ret->len = otlp__export_logs_service_request__pack(request, ret->data);
		else
			err = -ENOMEM;
		ret->records = (uint32_t)(to - from);
		resource->scope_logs = all;
		resource->n_scope_logs = count;
	}
	free(some);
	free(copies);
	return err;
}

int otlp__split(const uint8_t *data, size_t len, struct otlp_half ret[2])
{
	Otlp__ExportLogsServiceRequest *request =
		otlp__export_logs_service_request__unpack(NULL, len, data);
	size_t count;
	int err;

	ret[0] = ret[1] = (struct otlp_half){ 0 };
	if (!request)
		return -EBADMSG;
	count = count_records(request);
	if (request->n_resource_logs != 1)
		err = -EBADMSG;
	else if (count < 2)
		err = -ENOENT;
	else
		err = pack_range(request, 0, count / 2, &ret[0]);
	if (!err)
		err = pack_range(request, count / 2, count, &ret[1]);
	if (err) {
		free(ret[0].data);
		ret[0] = (struct otlp_half){ 0 };
	}
	otlp__export_logs_service_request__free_unpacked(request, NULL);
	return err;
}
