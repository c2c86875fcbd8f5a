/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/requests.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <bpf/bpf.h>

#define WALK_MAX 65536 /* steps: a map that changes under a walk may begin anew */

int requests__each(int request_fd, void (*fn)(void *ctx, const struct request *request), void *ctx)
{
	uint64_t key, *previous = NULL;
	struct request request;

	for (unsigned i = 0; i < WALK_MAX && !bpf_map_get_next_key(request_fd, previous, &key);
	     i++, previous = &key)
		if (!bpf_map_lookup_elem(request_fd, &key, &request))
			fn(ctx, &request);
	return 0;
}

struct sweep {
	int request_fd, owner_fd;
	uint64_t before_ns;
};

/* Calls fn for each key of a map; fn may delete it. */
static void each_key(int fd, void *key, void *next, size_t size,
		     void (*fn)(const struct sweep *sweep, const void *key),
		     const struct sweep *sweep)
{
	bool more = !bpf_map_get_next_key(fd, NULL, key);

	for (unsigned i = 0; more && i < WALK_MAX; i++) {
		more = !bpf_map_get_next_key(fd, key, next);
		fn(sweep, key);
		memcpy(key, next, size);
	}
}

static void sweep_request(const struct sweep *sweep, const void *key)
{
	struct request request;

	if (bpf_map_lookup_elem(sweep->request_fd, key, &request))
		return;
	/* a request whose process died without closing its connection is never answered */
	if (request.state == RT_REQUEST_OPEN && request.begin_ns < sweep->before_ns &&
	    kill(request.tgid, 0) && errno == ESRCH)
		bpf_map_delete_elem(sweep->request_fd, key);
	else if (request.state != RT_REQUEST_OPEN && request.end_ns < sweep->before_ns)
		bpf_map_delete_elem(sweep->request_fd, key);
}

static void sweep_owner(const struct sweep *sweep, const void *key)
{
	struct request request;
	struct owner owner;

	/* an owner newer than the walk points to a request that is newer too, and is found */
	if (!bpf_map_lookup_elem(sweep->owner_fd, key, &owner) &&
	    bpf_map_lookup_elem(sweep->request_fd, &owner.request, &request))
		bpf_map_delete_elem(sweep->owner_fd, key);
}

int requests__sweep(int request_fd, int owner_fd, uint64_t before_ns)
{
	const struct sweep sweep = { request_fd, owner_fd, before_ns };
	struct unit unit, next_unit;
	uint64_t seq, next_seq;

	each_key(request_fd, &seq, &next_seq, sizeof(seq), sweep_request, &sweep);
	each_key(owner_fd, &unit, &next_unit, sizeof(unit), sweep_owner, &sweep);
	return 0;
}
