/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/counter.h"

#include <errno.h>
#include <stdlib.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static const struct counter counters[RT_COUNTERS] = {
	[RT_WRITES] = { "writes", NULL, COUNTER_WORK },
	[RT_WRITE_BYTES] = { "bytes", NULL, COUNTER_WORK },
	[RT_ORIGIN_WRITES] = { "origin_writes", NULL, COUNTER_WORK },
	[RT_REQUESTS] = { "requests", NULL, COUNTER_WORK },
	[RT_REQUESTS_WITHOUT_ID] = { "requests_without_id", NULL, COUNTER_WORK },
	[RT_RESPONSES] = { "responses", NULL, COUNTER_WORK },
	[RT_LOST_RING] = { "ring_full", "ring full", COUNTER_LOST },
	[RT_LOST_FAULT] = { "memory_fault", "memory not readable", COUNTER_LOST },
	[RT_LOST_INFLIGHT] = { "writers_full", "too many writers at once", COUNTER_LOST },
	[RT_LOST_BUDGET] = { "budget", "over the container's budget", COUNTER_LOST },
	[RT_TRUNCATED_BYTES] = { "truncated_bytes", "one write was larger than 1 MiB",
				 COUNTER_LOST },
	[RT_UNSEEN_BYTES] = { "unseen_bytes", "spliced or sent from a file", COUNTER_LOST },
	[RT_SEGMENTS] = { "segments", "too many pieces in one write", COUNTER_LOST },
	[RT_LOST_EVENT] = { "event_ring_full", "ring full", COUNTER_LESS },
	[RT_ID_TOO_LONG] = { "id_too_long", "an id over 256 bytes, or not text", COUNTER_LESS },
	[RT_HEADER_FAULT] = { "header_fault", "a header was not readable", COUNTER_LESS },
	[RT_CONN_FULL] = { "connections_full", "too many connections", COUNTER_LESS },
	[RT_REQUEST_FULL] = { "requests_full", "too many requests", COUNTER_LESS },
	[RT_OWNER_FULL] = { "owners_full", "too many units", COUNTER_LESS },
	[RT_STREAM_FULL] = { "streams_full", "too many streams", COUNTER_LOST },
	[RT_HTTP2_LOST] = { "http2_lost", "an HTTP/2 connection could not be followed",
			    COUNTER_LESS },
	[RT_HTTP2_FLOOD] = { "http2_flood", "an HTTP/2 header block of over 64 KiB", COUNTER_LESS },
	[RT_HTTP2_FULL] = { "http2_full", "too many HTTP/2 streams", COUNTER_LESS },
	[RT_JOB_FULL] = { "jobs_full", "too many threads", COUNTER_LESS },
	[RT_CONTAINER_FULL] = { "containers_full", "too many containers, not captured",
				COUNTER_LOST },
	[RT_SKIPPED] = { "skipped_runs", "the kernel skipped a program", COUNTER_LOST },
	[RT_PROCESS_FULL] = { "processes_full", "too many processes", COUNTER_LOST },
	[RT_RUNTIME_FULL] = { "runtimes_full", "too many processes with a known runtime",
			      COUNTER_LESS },
};

const struct counter *counter__of(unsigned counter)
{
	return counter < RT_COUNTERS && counters[counter].name ? &counters[counter] : NULL;
}

static uint64_t skipped(const struct bpf_object *object)
{
	struct bpf_program *program;
	uint64_t sum = 0;

	bpf_object__for_each_program(program, object)
	{
		struct bpf_prog_info info = { 0 };
		uint32_t size = sizeof(info);
		int fd = bpf_program__fd(program);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &size))
			sum += info.recursion_misses;
	}
	return sum;
}

int counter__read(int counter_fd, const struct bpf_object *object, uint64_t *ret)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values;

	if (cpus < 0)
		return cpus;
	values = calloc(cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (uint32_t i = 0; i < RT_COUNTERS; i++) {
		ret[i] = 0;
		if (bpf_map_lookup_elem(counter_fd, &i, values))
			continue;
		for (int cpu = 0; cpu < cpus; cpu++)
			ret[i] += values[cpu];
	}
	free(values);
	ret[RT_SKIPPED] = skipped(object);
	return 0;
}
