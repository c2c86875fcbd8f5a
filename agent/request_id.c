/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/request_id.h"

#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static int map_fd(struct probe *probe)
{
	return bpf_object__find_map_fd_by_name(probe__object(probe), "rt_h2_id");
}

void request_id__keep(struct probe *probe, const struct event_request *event)
{
	const struct request *request = &event->request;

	if (request->stream && request->id_len)
		(void)bpf_map_update_elem(map_fd(probe), &request->seq, request, BPF_ANY);
}

int request_id__lookup(void *probe, uint64_t seq, struct request *ret)
{
	int err = probe__request(probe, seq, ret);
	struct request decoded;

	if (err || !ret->stream || bpf_map_lookup_elem(map_fd(probe), &seq, &decoded))
		return err;
	ret->id_len = decoded.id_len;
	ret->has_traceparent = decoded.has_traceparent;
	memcpy(ret->id, decoded.id, sizeof(ret->id));
	memcpy(ret->traceparent, decoded.traceparent, sizeof(ret->traceparent));
	return 0;
}
