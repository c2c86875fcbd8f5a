/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recent: the records that history holds of late, so that it knows one that comes again.
 *
 * An agent that was killed had not released all of the ring that it had read: its successor reads
 * it again. The export may repeat such lines; a person who follows the log must not see them twice.
 * A record is known by when (CLOCK_BOOTTIME, as the kernel told it) and by whom it was written, and
 * by its text; two equal ones of one write count as two.
 */
#ifndef REQTAP_RECENT_H
#define REQTAP_RECENT_H

#include <stdbool.h>
#include "agent/record.h"

/* A second at 100,000 lines/s and more: what is durable is released within a tenth of that. */
#define RECENT_RECORDS 131072
/* How long after a start records may come again: those of a container wait for its name. */
#define RECENT_NS 60000000000ULL

struct recent;

/* Reads the end of history's file. NULL: nothing is there to come again, or no memory. */
struct recent *recent__read(const char *path);
struct recent *recent__free(struct recent *recent);

/* True: it is there. Each counts once. */
bool recent__take(struct recent *recent, const struct record *record);

#endif
