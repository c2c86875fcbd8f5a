/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/runtime_map.h"

#include <errno.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "agent/uprobe.h"

static struct bpf_map *map_of(struct probe *probe, const char *name)
{
	return bpf_object__find_map_by_name(probe__object(probe), name);
}

int runtime_map__attach(struct probe *probe, const char *program, int fd, uint64_t offset,
			bool at_return)
{
	struct bpf_program *p = bpf_object__find_program_by_name(probe__object(probe), program);

	return p ? uprobe__attach(p, fd, offset, at_return) : -ENOENT;
}

int runtime_map__set(struct probe *probe, pid_t tgid, enum rt_runtime_kind kind,
		     const struct runtime *runtime)
{
	int fd = bpf_map__fd(map_of(probe, "rt_runtime"));
	struct runtimes runtimes = { 0 };
	uint32_t key = tgid;

	(void)bpf_map_lookup_elem(fd, &key, &runtimes); /* its first: it has no others */
	runtimes.of[kind] = *runtime;
	return bpf_map_update_elem(fd, &key, &runtimes, BPF_ANY);
}

void runtime_map__each(struct probe *probe,
		       void (*fn)(void *ctx, uint32_t tgid, const struct runtimes *runtimes),
		       void *ctx)
{
	struct bpf_map *map = map_of(probe, "rt_runtime");
	uint32_t key, *previous = NULL;
	struct runtimes runtimes;
	int fd = bpf_map__fd(map);

	/* bounded: a map that changes under the walk may begin anew */
	for (unsigned i = 0;
	     i < bpf_map__max_entries(map) && !bpf_map_get_next_key(fd, previous, &key);
	     i++, previous = &key)
		if (!bpf_map_lookup_elem(fd, &key, &runtimes))
			fn(ctx, key, &runtimes);
}

int runtime_map__ignore(struct probe *probe, const struct event_map *event, uint64_t until_ns)
{
	struct stream_key key = { .inode = event->inode, .device = event->device };

	return bpf_map__update_elem(map_of(probe, "rt_mapped"), &key, sizeof(key), &until_ns,
				    sizeof(until_ns), BPF_ANY);
}
