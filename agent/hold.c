/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hold.h"

#include <stdlib.h>
#include <string.h>

struct held {
	struct held *next;
	uint64_t mark;
	size_t bytes;
	struct record record; /* its texts lie behind it */
	char text[];
};

struct hold {
	struct hold_config config;
	struct held *first, **end;
	struct hold_stats stats;
};

struct hold *hold__new(const struct hold_config *config)
{
	struct hold *hold = calloc(1, sizeof(*hold));

	if (!hold)
		return NULL;
	hold->config = *config;
	if (!hold->config.max_bytes)
		hold->config.max_bytes = HOLD_BYTES;
	hold->end = &hold->first;
	return hold;
}

/* Takes the record that `link` points to out of the queue. */
static void drop(struct hold *hold, struct held **link)
{
	struct held *held = *link;

	*link = held->next;
	if (!*link)
		hold->end = link;
	hold->stats.bytes -= held->bytes;
	free(held);
}

struct hold *hold__free(struct hold *hold)
{
	while (hold && hold->first)
		drop(hold, &hold->first);
	free(hold);
	return NULL;
}

static struct str keep(char **at, struct str text)
{
	struct str copy = { *at, text.len };

	if (text.len)
		memcpy(*at, text.data, text.len);
	*at += text.len;
	return copy;
}

static struct held *copy(const struct record *record)
{
	size_t len = record->body.len + record->message.len + record->exc_info.len +
		     record->request_id.len;
	struct held *held = malloc(sizeof(*held) + len);
	char *at;

	if (!held)
		return NULL;
	*held = (struct held){ .bytes = sizeof(*held) + len, .record = *record };
	at = held->text;
	held->record.body = keep(&at, record->body);
	held->record.message = keep(&at, record->message);
	held->record.exc_info = keep(&at, record->exc_info);
	held->record.request_id = keep(&at, record->request_id);
	return held;
}

/* What the verdict, not HOLD_WAIT, says of the record. */
static void end(struct hold *hold, const struct record *record, enum hold_verdict verdict)
{
	if (verdict == HOLD_TAKE)
		hold->config.sink(hold->config.ctx, record);
	hold->stats.lost += verdict == HOLD_LOSE;
}

/* Those that may go do; with `forced` all. The order of each container's records is kept. */
static void settle(struct hold *hold, bool forced)
{
	struct held **link = &hold->first;

	while (*link) {
		const struct record *record = &(*link)->record;
		enum hold_verdict verdict =
			hold->config.verdict(hold->config.ctx, record->container, forced);

		if (verdict == HOLD_WAIT && !forced) {
			link = &(*link)->next;
			continue;
		}
		end(hold, record, verdict);
		drop(hold, link);
	}
}

void hold__record(struct hold *hold, const struct record *record, uint64_t mark)
{
	enum hold_verdict verdict =
		hold->config.verdict(hold->config.ctx, record->container, false);
	struct held *held;

	if (verdict != HOLD_WAIT) {
		/* what waited of the same container goes first */
		settle(hold, false);
		end(hold, record, verdict);
		return;
	}
	held = copy(record);
	if (!held || hold->stats.bytes + held->bytes > hold->config.max_bytes) {
		hold->stats.forced++;
		settle(hold, true);
		end(hold, record, hold->config.verdict(hold->config.ctx, record->container, true));
		free(held);
		return;
	}
	held->mark = mark;
	*hold->end = held;
	hold->end = &held->next;
	hold->stats.held++;
	hold->stats.bytes += held->bytes;
}

void hold__settle(struct hold *hold)
{
	settle(hold, false);
}

void hold__flush(struct hold *hold)
{
	settle(hold, true);
}

uint64_t hold__mark(const struct hold *hold, uint64_t mark)
{
	return hold->first && hold->first->mark < mark ? hold->first->mark : mark;
}

const struct hold_stats *hold__stats(const struct hold *hold)
{
	return &hold->stats;
}
