/* SPDX-License-Identifier: Apache-2.0 */
/* capture: the settings of `run` and `agent` alike: what is captured, how, and whose lines it is.
 */
#ifndef REQTAP_CAPTURE_H
#define REQTAP_CAPTURE_H

#include "agent/options.h"
#include "agent/pipeline.h"
#include "agent/probe.h"

struct capture_config {
	int plan;     /* enum probe_plan: index into capture_plans */
	int evidence; /* enum evidence: the weakest that counts; index into capture_evidences */
	const char *model_id, *model_version_id, *environment, *replica, *chainlet_id,
		*training_job_id; /* NULL: not given */
	struct option_list headers;
	uint64_t line_max, lineage_grace, ring_size;
	bool verbose;
};

#define CAPTURE_DEFAULTS                                                                           \
	{                                                                                          \
		.lineage_grace = 1000000000, .ring_size = 64 << 20                                 \
	}

extern const char *const capture_plans[];
extern const char *const capture_evidences[];

#define CAPTURE_ROW(at, member, option, kind, metavar, words)                                      \
	.name = (option), .type = (kind),                                                          \
	.offset = (at) + offsetof(struct capture_config, member), .argument = (metavar),           \
	.help = (words)

/* Rows of a command's table; `at` is the offset of its struct capture_config. */
#define CAPTURE_OPTIONS(at)                                                                        \
	{ CAPTURE_ROW(at, model_id, "model-id", OPTION_TEXT, "ID", "attribute model_id") },        \
		{ CAPTURE_ROW(at, model_version_id, "model-version-id", OPTION_TEXT, "ID",         \
			      "attribute model_version_id (the deployment)") },                    \
		{ CAPTURE_ROW(at, environment, "environment", OPTION_TEXT, "NAME",                 \
			      "attribute environment") },                                          \
		{ CAPTURE_ROW(at, replica, "replica", OPTION_TEXT, "ID", "attribute replica") },   \
		{ CAPTURE_ROW(at, chainlet_id, "chainlet-id", OPTION_TEXT, "ID",                   \
			      "attribute chainlet_id") },                                          \
		{ CAPTURE_ROW(at, training_job_id, "training-job-id", OPTION_TEXT, "ID",           \
			      "attribute training_job_id") },                                      \
		{ CAPTURE_ROW(at, headers, "header", OPTION_LIST, "NAME",                          \
			      "header with the id, the best first (x-baseten-request-id)") },      \
		{ CAPTURE_ROW(at, evidence, "evidence", OPTION_CHOICE, "KIND",                     \
			      "weakest evidence that gives a line its id (handoff)"),              \
		  .choices = capture_evidences },                                                  \
		{ CAPTURE_ROW(at, line_max, "line-max", OPTION_BYTES, "BYTES",                     \
			      "longest line; the rest is cut and counted (256K)"),                 \
		  .min = 64, .max = 16 << 20 },                                                    \
		{ CAPTURE_ROW(                                                                     \
			  at, lineage_grace, "lineage-grace", OPTION_DURATION, "TIME",             \
			  "how long what a request started keeps its id after the response (1s)"), \
		  .max = 60000000000ULL },                                                         \
		{ CAPTURE_ROW(at, ring_size, "ring-size", OPTION_BYTES, "BYTES",                   \
			      "ring between kernel and agent, a power of two (64M)"),              \
		  .min = 4096, .max = 1 << 30 },                                                   \
	{                                                                                          \
		CAPTURE_ROW(at, plan, "plan", OPTION_CHOICE, "PLAN", "auto, syscall or fentry"),   \
			.choices = capture_plans                                                   \
	}

/* Fills in what was not given. 0, or -EINVAL with the problem said. */
int capture__check(struct capture_config *config);

/* Into the stages' own settings; the config must outlive them. */
void capture__fill(const struct capture_config *config, struct probe_config *probe,
		   struct pipeline_config *pipeline, struct replica *given);

/* 0; or negative errno with the reason said: capture does not work here. */
int capture__obstacle(void);

#endif
