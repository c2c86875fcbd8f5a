/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/command.h"
#include "agent/doctor.h"
#include "agent/log.h"
#include "agent/options.h"
#include "agent/run.h"
#include "agent/secret.h"

struct values {
	int output, plan, evidence;
	const char *model_id, *model_version_id, *environment, *replica, *chainlet_id,
		*training_job_id;
	struct keep_config keep;
	struct option_list headers;
	uint64_t line_max, lineage_grace, ring_size;
	bool verbose;
};

static const char *const outputs[] = { "auto", "pretty", "json", "none", NULL };
static const char *const plans[] = { "auto", "syscall", "fentry", NULL };
static const char *const evidences[] = { "default", "line",    "unit", "thread", "relay",
					 "text",    "handoff", "sole", NULL };

#define AT(member) .offset = offsetof(struct values, member)

static const struct option_spec specs[] = {
	{ .name = "output",
	  .letter = 'o',
	  .type = OPTION_CHOICE,
	  AT(output),
	  .argument = "FORMAT",
	  .choices = outputs,
	  .help = "pretty, json or none; pretty on a terminal, else json" },
	{ .name = "model-id",
	  .type = OPTION_TEXT,
	  AT(model_id),
	  .argument = "ID",
	  .help = "attribute model_id" },
	{ .name = "model-version-id",
	  .type = OPTION_TEXT,
	  AT(model_version_id),
	  .argument = "ID",
	  .help = "attribute model_version_id (the deployment)" },
	{ .name = "environment",
	  .type = OPTION_TEXT,
	  AT(environment),
	  .argument = "NAME",
	  .help = "attribute environment" },
	{ .name = "replica",
	  .type = OPTION_TEXT,
	  AT(replica),
	  .argument = "ID",
	  .help = "attribute replica" },
	{ .name = "chainlet-id",
	  .type = OPTION_TEXT,
	  AT(chainlet_id),
	  .argument = "ID",
	  .help = "attribute chainlet_id" },
	{ .name = "training-job-id",
	  .type = OPTION_TEXT,
	  AT(training_job_id),
	  .argument = "ID",
	  .help = "attribute training_job_id" },
	{ .name = "header",
	  .type = OPTION_LIST,
	  AT(headers),
	  .argument = "NAME",
	  .help = "header with the id, the best first (x-baseten-request-id)" },
	{ .name = "evidence",
	  .type = OPTION_CHOICE,
	  AT(evidence),
	  .argument = "KIND",
	  .choices = evidences,
	  .help = "weakest evidence that gives a line its id (handoff)" },
	{ .name = "line-max",
	  .type = OPTION_BYTES,
	  AT(line_max),
	  .argument = "BYTES",
	  .min = 64,
	  .max = 16 << 20,
	  .help = "longest line; the rest is cut and counted (256K)" },
	{ .name = "lineage-grace",
	  .type = OPTION_DURATION,
	  AT(lineage_grace),
	  .argument = "TIME",
	  .max = 60000000000ULL,
	  .help = "how long what a request started keeps its id after the response (1s)" },
	{ .name = "ring-size",
	  .type = OPTION_BYTES,
	  AT(ring_size),
	  .argument = "BYTES",
	  .min = 4096,
	  .max = 1 << 30,
	  .help = "ring between kernel and agent, a power of two (64M)" },
	{ .name = "plan",
	  .type = OPTION_CHOICE,
	  AT(plan),
	  .argument = "PLAN",
	  .choices = plans,
	  .help = "auto, syscall or fentry" },
	{ .name = "state-dir",
	  .type = OPTION_TEXT,
	  AT(keep.state_dir),
	  .argument = "DIR",
	  .help = "keep logs there for `reqtap logs`, and what is not sent yet (in memory)" },
	KEEP_OPTIONS(offsetof(struct values, keep)),
	{ .name = "verbose",
	  .letter = 'v',
	  .type = OPTION_FLAG,
	  AT(verbose),
	  .help = "what libbpf says too" },
	{ .name = NULL },
};

static const struct command_spec command = {
	.name = "run",
	.operands = "[--] COMMAND [ARG]...",
	.summary = "Runs COMMAND and shows what it logs, each line with the id of the request that "
		   "caused it.",
	.notes = "Records are exported too when OTEL_EXPORTER_OTLP_ENDPOINT or "
		 "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT is set.\n"
		 "Exit status: COMMAND's own; 2 usage, 77 capture does not work here (see `reqtap "
		 "doctor`).",
	.options = specs,
	.operands_last = true,
	.operands_min = 1,
	.operands_max = -1,
};

static enum console_format console_format(int output)
{
	static const enum console_format formats[] = { CONSOLE_NONE, CONSOLE_PRETTY, CONSOLE_JSON,
						       CONSOLE_NONE };

	if (output)
		return formats[output];
	return isatty(STDOUT_FILENO) ? CONSOLE_PRETTY : CONSOLE_JSON;
}

static void fill(struct run_config *config, const struct values *values)
{
	config->probe = (struct probe_config){
		.plan = values->plan,
		.ring_bytes = values->ring_size,
		.lineage_grace_ns = values->lineage_grace,
		.headers = values->headers.items,
		.verbose = values->verbose,
	};
	config->pipeline.line_max_bytes = values->line_max;
	config->pipeline.attribute.weakest = values->evidence;
	config->given = (struct replica){
		.replica = str_from(values->replica),
		.model_id = str_from(values->model_id),
		.model_version_id = str_from(values->model_version_id),
		.environment = str_from(values->environment),
		.chainlet_id = str_from(values->chainlet_id),
		.training_job_id = str_from(values->training_job_id),
	};
	config->output = console_format(values->output);
	config->keep = values->keep;
}

/* Where OpenTelemetry's variables say; 0, or the exit status. */
static int read_destination(struct destination *destination, struct run_config *config)
{
	char *problem = NULL;
	int err = destination__from_env(destination, &problem);

	if (!err)
		config->destination = destination;
	else if (err != -ENOENT)
		log_error("%s", problem ? problem : strerror(-err));
	free(problem);
	return !err || err == -ENOENT ? 0 : EXIT_USAGE;
}

static int obstacle(void)
{
	char *problem = NULL;
	int err = doctor__obstacle(&problem);

	if (err)
		log_error("%s", problem ? problem : strerror(-err));
	free(problem);
	return err ? EXIT_CANNOT : 0;
}

int cmd_run(int argc, char **argv)
{
	struct values values = { .lineage_grace = 1000000000, .ring_size = 64 << 20 };
	struct run_config config = { 0 };
	struct destination destination;
	int first = options__parse(&command, argc, argv, &values), status;

	if (first < 0)
		return OPTIONS_STATUS(first);
	if (values.ring_size & (values.ring_size - 1)) {
		log_error("--ring-size: not a power of two; 64M would be right");
		return EXIT_USAGE;
	}
	if (keep__check(&values.keep))
		return EXIT_USAGE;
	if (!values.headers.count)
		values.headers.items[0] = "x-baseten-request-id";
	fill(&config, &values);
	destination__init(&destination);
	secret__guard_process(); /* curl, too, has the header's value in memory */
	status = read_destination(&destination, &config);
	if (!status)
		status = obstacle();
	if (!status)
		status = run__command(&config, argv + first);
	destination__clear(&destination);
	option_list__clear(&values.headers);
	return status;
}
