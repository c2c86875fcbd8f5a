/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record's texts, one a line, in every output: the JSON must be JSON and give them back, and a
 * terminal must get no control character.
 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include "agent/format.h"
#include "agent/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str next(char **text)
{
	const char *line = strsep(text, "\x1e");

	return line ? str_from(line) : (struct str){ 0 };
}

static void check_json(const char *text, const char *name, struct str want)
{
	cJSON *json = cJSON_ParseWithOpts(text, NULL, true), *item;

	if (!json)
		abort();
	item = cJSON_GetObjectItemCaseSensitive(json, name);
	if (want.len && (!item || strlen(item->valuestring) != want.len ||
			 memcmp(item->valuestring, want.data, want.len) != 0))
		abort();
	cJSON_Delete(json);
}

static void check_terminal(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)text[i] < ' ' && text[i] != '\n' && text[i] != '\t') ||
		    text[i] == 0x7f)
			abort();
}

/* Every quote of a CSV line is one of a pair. */
static void check_csv(const char *text, size_t len)
{
	size_t quotes = 0;

	for (size_t i = 0; i < len; i++)
		quotes += text[i] == '"';
	if (quotes % 2 || len < 2 || memcmp(text + len - 2, "\r\n", 2) != 0)
		abort();
}

static void try_all(const struct record *record)
{
	const struct format_place place = { 1, 2 };
	const struct format_style style = { .date = true };
	char *text[3] = { NULL };
	size_t len[3] = { 0 };

	for (int i = 0; i < 3; i++) {
		FILE *out = open_memstream(&text[i], &len[i]);

		if (i == 0)
			format__json(out, record, &place);
		else if (i == 1)
			format__pretty(out, record, &style);
		else
			format__csv(out, record);
		fclose(out);
	}
	check_json(text[0], "message", record->message);
	check_json(text[0], "request_id", record->request_id);
	check_json(text[0], "exc_info", record->exc_info);
	check_terminal(text[1], len[1]);
	check_csv(text[2], len[2]);
	for (int i = 0; i < 3; i++)
		free(text[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), *text = copy;
	struct replica replica = { 0 };
	struct record record = { .time_ns = 1, .replica = &replica };

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	copy[size] = '\0';
	utf8__mend(copy, size);
	record.message = next(&text);
	record.request_id = next(&text);
	record.exc_info = next(&text);
	record.body = next(&text);
	replica.replica = next(&text);
	try_all(&record);
	free(copy);
	return 0;
}
