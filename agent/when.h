/* SPDX-License-Identifier: Apache-2.0 */
/* when: a point in time as a person gives it. */
#ifndef REQTAP_WHEN_H
#define REQTAP_WHEN_H

#include <stdint.h>

#define WHEN_RIGHT "15m (ago), 2026-11-24T16:00:00Z, \"2026-11-24 16:00\" or 16:00 (local time)"

/*
 * A duration ago (15m, 2h, 7d), "now", RFC 3339, a date and time or a time of today in local time,
 * or UNIX time in seconds, milliseconds or nanoseconds (told by its length). To UNIX nanoseconds.
 * 0 or -EINVAL.
 */
int when__parse(const char *text, uint64_t now_ns, uint64_t *ret_ns);

#endif
