/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ground.h"

#include <stdlib.h>
#include <string.h>
#include "agent/log.h"

int ground__find(const struct probe_config *config, struct cgroup_tree *ret_tree,
		 struct probe **ret_probe)
{
	const char *what = NULL;
	char *problem = NULL;
	int err = cgroup_tree__open(ret_tree, &what);

	if (!err)
		*ret_probe = probe__new(config, &err, &problem);
	if (err)
		log_error("%s", problem ? problem : what ? what : strerror(-err));
	free(problem);
	return err;
}

void ground__say(const struct probe *probe)
{
	const char *why_not;

	if (probe__origin(probe) == PROBE_TAKEN_OVER)
		log_info("took over what an agent before left in the kernel");
	if (probe__origin(probe) == PROBE_REPLACED)
		log_info(
			"replaced what another version left in the kernel; its ring is read first");
	if (probe__unread(probe))
		log_warn("%llu bytes of the other version's ring cannot be read here: lost",
			 (unsigned long long)probe__unread(probe));
	if (!probe__outlives(probe, &why_not))
		log_info("nothing is captured while no agent runs: %s", why_not);
}
