/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/requests.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
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
	int request_fd, owner_fd, conn_fd, h2_stream_fd;
	uint64_t *conn; /* room for one of rt_conn: its cookie, and what is the kernel side's own */
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

static bool gone(uint32_t tgid)
{
	return kill(tgid, 0) && errno == ESRCH;
}

static void sweep_request(const struct sweep *sweep, const void *key)
{
	struct request request;

	if (bpf_map_lookup_elem(sweep->request_fd, key, &request))
		return;
	/* a request whose process died without closing its connection is never answered */
	if (request.state == RT_REQUEST_OPEN && request.begin_ns < sweep->before_ns &&
	    gone(request.tgid))
		bpf_map_delete_elem(sweep->request_fd, key);
	else if (request.state != RT_REQUEST_OPEN && request.end_ns < sweep->before_ns)
		bpf_map_delete_elem(sweep->request_fd, key);
}

/* An owner newer than the walk points to a request that is newer too, and is found. */
static bool owner_ended(const struct sweep *sweep, const struct unit *unit,
			const struct owner *owner)
{
	struct request request;

	if (!owner->request && (owner->flags & RT_OWNER_LOOP))
		return gone(unit->tgid); /* what is known of a thread holds as long as it lives */
	if (owner->sk && !bpf_map_lookup_elem(sweep->conn_fd, &owner->sk, sweep->conn))
		return sweep->conn[0] != owner->cookie;
	return bpf_map_lookup_elem(sweep->request_fd, &owner->request, &request) != 0;
}

static void sweep_owner(const struct sweep *sweep, const void *key)
{
	struct owner owner;

	if (!bpf_map_lookup_elem(sweep->owner_fd, key, &owner) && owner_ended(sweep, key, &owner))
		bpf_map_delete_elem(sweep->owner_fd, key);
}

static void sweep_streams(const struct sweep *sweep, const void *key)
{
	if (bpf_map_lookup_elem(sweep->conn_fd, key, sweep->conn))
		bpf_map_delete_elem(sweep->h2_stream_fd, key);
}

static size_t value_size(int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.value_size;
}

int requests__sweep(int request_fd, int owner_fd, int conn_fd, int h2_stream_fd, uint64_t before_ns)
{
	struct sweep sweep = { request_fd, owner_fd, conn_fd, h2_stream_fd, NULL, before_ns };
	size_t size = value_size(conn_fd);
	struct unit unit, next_unit;
	uint64_t seq, next_seq, sk, next_sk;

	sweep.conn = size ? malloc(size) : NULL;
	if (!sweep.conn)
		return -ENOMEM;
	each_key(request_fd, &seq, &next_seq, sizeof(seq), sweep_request, &sweep);
	each_key(owner_fd, &unit, &next_unit, sizeof(unit), sweep_owner, &sweep);
	each_key(h2_stream_fd, &sk, &next_sk, sizeof(sk), sweep_streams, &sweep);
	free(sweep.conn);
	return 0;
}
