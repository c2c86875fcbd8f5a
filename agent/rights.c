/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/rights.h"

#include <cap-ng.h>
#include <errno.h>
#include <sys/prctl.h>
#include "agent/uprobe.h"

/* All of them serve containers and runtimes that come later, so none ends with the attach. */
const struct right rights[] = {
	{ CAP_BPF, "CAP_BPF", "load programs", true, true },
	{ CAP_PERFMON, "CAP_PERFMON", "attach them", true, true },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE",
	  "read the environment and root of other users' processes", false, false },
	{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "read files of other users in containers",
	  false, false },
	{ CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE",
	  "open the runtimes that processes map, for ids across await and goroutines", false,
	  true },
	{ 0, NULL, NULL, false, false },
};

static bool has(unsigned capability)
{
	return capng_have_capability(CAPNG_EFFECTIVE, capability);
}

bool rights__has(const struct right *right)
{
	capng_get_caps_process();
	return has(right->capability) || (right->admin_does && has(CAP_SYS_ADMIN));
}

/* To be called with it permitted: whether the same goes without it. */
static bool admin_is_needed(void)
{
	enum uprobe_way way;
	int with = uprobe__try(&way), without;

	capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
	if (capng_apply(CAPNG_SELECT_CAPS))
		return true;
	without = uprobe__try(&way);
	for (const struct right *right = rights; right->name; right++)
		if (right->admin_does && !has(right->capability))
			return true;
	return !with && without;
}

static void keep(unsigned capability)
{
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, capability);
}

int rights__drop(void)
{
	/* not of the table: --listen may name a port below 1024 */
	bool binds, bounds, admin, held[sizeof(rights) / sizeof(rights[0])];

	if (capng_get_caps_process())
		return -EPERM;
	binds = has(CAP_NET_BIND_SERVICE);
	bounds = has(CAP_SETPCAP);
	for (size_t i = 0; rights[i].name; i++)
		held[i] = has(rights[i].capability);
	admin = has(CAP_SYS_ADMIN) && admin_is_needed();
	capng_clear(bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS);
	for (size_t i = 0; rights[i].name; i++)
		if (held[i])
			keep(rights[i].capability);
	if (binds)
		keep(CAP_NET_BIND_SERVICE);
	if (admin)
		keep(CAP_SYS_ADMIN);
	if (capng_apply(bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS))
		return -EPERM;
	/* what it might execute gains nothing from being uid 0 */
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}
