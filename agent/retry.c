/* SPDX-License-Identifier: Apache-2.0 */
/* When to try again; see export.h. */
#include <curl/curl.h>
#include <stdlib.h>
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
