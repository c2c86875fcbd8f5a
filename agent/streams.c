/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/streams.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/sysmacros.h>
#include <bpf/bpf.h>

#define WALK_MAX 65536 /* steps: a map that changes under a walk may begin anew */

int streams__set(int stream_fd, uint64_t inode, dev_t device, const struct stream *stream)
{
	/* the kernel's own dev_t: 12 bits major, 20 bits minor (include/linux/kdev_t.h) */
	struct stream_key key = { .inode = inode, .device = major(device) << 20 | minor(device) };

	return bpf_map_update_elem(stream_fd, &key, stream, BPF_ANY) ? -errno : 0;
}

void streams__losses(int stream_fd,
		     void (*fn)(void *ctx, const struct stream_key *key,
				const struct stream *stream),
		     void *ctx)
{
	struct stream_key key, *previous = NULL;
	struct stream stream;

	for (unsigned i = 0; i < WALK_MAX && !bpf_map_get_next_key(stream_fd, previous, &key);
	     i++, previous = &key)
		if (!bpf_map_lookup_elem(stream_fd, &key, &stream) && stream.lost_writes)
			fn(ctx, &key, &stream);
}

static bool is_gone(int stream_fd, int container_fd, const struct stream_key *key)
{
	struct container container;
	struct stream stream;

	return !bpf_map_lookup_elem(stream_fd, key, &stream) &&
	       bpf_map_lookup_elem(container_fd, &stream.container, &container);
}

void streams__sweep(int stream_fd, int container_fd)
{
	struct stream_key key, next;
	bool more = !bpf_map_get_next_key(stream_fd, NULL, &key);

	for (unsigned i = 0; more && i < WALK_MAX; i++, key = next) {
		more = !bpf_map_get_next_key(stream_fd, &key, &next);
		if (is_gone(stream_fd, container_fd, &key))
			bpf_map_delete_elem(stream_fd, &key);
	}
}
