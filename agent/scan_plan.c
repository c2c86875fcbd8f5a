/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/scan_plan.h"

bool scan_plan__overlaps(const struct scan_plan *plan, uint64_t first_ns, uint64_t last_ns)
{
	return first_ns < plan->until_ns && last_ns >= plan->since_ns;
}

bool scan_plan__is_beyond(const struct scan_plan *plan, uint64_t first_ns)
{
	return first_ns > plan->until_ns && first_ns - plan->until_ns > SCAN_SLACK_NS;
}

bool scan_plan__may_match(const struct scan_plan *plan, const struct store_block *block)
{
	if (!scan_plan__overlaps(plan, block->first_ns, block->last_ns))
		return false;
	if (block->missing && plan->notices)
		return true;
	for (unsigned level = 0; level < CHUNK_LEVELS; level++)
		if (block->levels[level] && plan->levels & 1U << level)
			return true;
	return false;
}

bool scan_plan__map_hits(const struct scan_plan *plan, bool (*bit)(void *ctx, uint32_t bit),
			 void *ctx)
{
	for (unsigned g = 0; g < plan->group_count; g++) {
		const struct scan_group *group = &plan->groups[g];
		bool any = !group->count;

		for (unsigned p = 0; p < group->count && !any; p++) {
			const struct filter_probe *probe = &group->probes[p];

			any = true;
			for (unsigned i = 0; i < probe->count && any; i++)
				any = bit(ctx, probe->bits[i]);
		}
		if (!any)
			return false;
	}
	return true;
}
