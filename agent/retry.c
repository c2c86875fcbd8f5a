/* SPDX-License-Identifier: Apache-2.0 */
/* What to try again, and when; see destination.h and export.h. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/export.h"

#define NS_PER_S 1000000000ULL
#define BACKOFF_BASE_NS (NS_PER_S / 2)
#define BACKOFF_MAX_NS (30 * NS_PER_S)
#define RETRY_AFTER_MAX_S 3600

uint64_t export__backoff_ns(unsigned failures, uint32_t random)
{
	uint64_t bound_ns = BACKOFF_MAX_NS;

	if (failures < 6)
		bound_ns = BACKOFF_BASE_NS << failures;
	if (bound_ns > BACKOFF_MAX_NS)
		bound_ns = BACKOFF_MAX_NS;
	return (uint64_t)((double)bound_ns * ((double)random / ((double)UINT32_MAX + 1)));
}

uint64_t export__retry_after_ns(const char *value, int64_t now_unix_s)
{
	char *end;
	int64_t seconds = strtol(value, &end, 10);

	if (end == value || *end) {
		/* curl_getdate() takes any date it can guess; HTTP's begin with a weekday. */
		int64_t at_s = value[0] >= 'A' && value[0] <= 'Z' ? curl_getdate(value, NULL) : -1;

		if (at_s < 0)
			return 0;
		seconds = at_s - now_unix_s;
	}
	if (seconds <= 0)
		return 0;
	return (uint64_t)(seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * NS_PER_S;
}

int destination__set_retry_codes(struct destination *destination, const char *list)
{
	uint16_t codes[DESTINATION_RETRY_CODES_MAX] = { 0 };
	unsigned count = 0;
	char *end;

	do {
		unsigned long code = strtoul(list, &end, 10);

		if (end != list + 3 || (*end && *end != ',') || code < 400 || code > 599 ||
		    count == DESTINATION_RETRY_CODES_MAX)
			return -EINVAL;
		codes[count++] = (uint16_t)code;
		list = end + 1;
	} while (*end);
	memcpy(destination->retry_codes, codes, sizeof(codes));
	return 0;
}

void destination__retry_text(const struct destination *destination,
			     char ret[DESTINATION_RETRY_TEXT_MAX])
{
	size_t len = 0;

	*ret = '\0';
	for (int i = 0; i < DESTINATION_RETRY_CODES_MAX && destination->retry_codes[i]; i++)
		len += (size_t)snprintf(ret + len, DESTINATION_RETRY_TEXT_MAX - len, "%s%u",
					len ? "," : "", destination->retry_codes[i]);
}
