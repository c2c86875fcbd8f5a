/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "agent/doctor.h"
#include "agent/log.h"

const char *const capture_plans[] = { "auto", "syscall", "fentry", NULL };
const char *const capture_evidences[] = { "default", "line",    "unit", "thread", "relay",
					  "text",    "handoff", "sole", NULL };

int capture__check(struct capture_config *config)
{
	if (config->ring_size & (config->ring_size - 1)) {
		log_error("--ring-size: not a power of two; 64M would be right");
		return -EINVAL;
	}
	if (!config->headers.count)
		config->headers.items[0] = "x-baseten-request-id";
	return 0;
}

void capture__fill(const struct capture_config *config, struct probe_config *probe,
		   struct pipeline_config *pipeline, struct replica *given)
{
	probe->plan = config->plan;
	probe->ring_bytes = (uint32_t)config->ring_size;
	probe->lineage_grace_ns = config->lineage_grace;
	probe->headers = config->headers.items;
	probe->verbose = config->verbose;
	pipeline->line_max_bytes = (uint32_t)config->line_max;
	pipeline->headers = config->headers.items;
	pipeline->attribute.weakest = config->evidence;
	*given = (struct replica){
		.replica = str_from(config->replica),
		.model_id = str_from(config->model_id),
		.model_version_id = str_from(config->model_version_id),
		.environment = str_from(config->environment),
		.chainlet_id = str_from(config->chainlet_id),
		.training_job_id = str_from(config->training_job_id),
	};
}

int capture__obstacle(void)
{
	char *problem = NULL;
	int err = doctor__obstacle(&problem);

	if (err)
		log_error("%s", problem ? problem : strerror(-err));
	free(problem);
	return err;
}
