/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "agent/agent.h"
#include "agent/command.h"
#include "agent/doctor.h"
#include "agent/log.h"
#include "agent/options.h"
#include "agent/pin.h"
#include "agent/secret.h"

struct values {
	struct option_list globs, headers;
	const char *state_dir, *secret_dir, *pin_dir;
	const char *model_id, *model_version_id, *environment, *replica, *chainlet_id,
		*training_job_id;
	int plan, evidence;
	uint64_t line_max, lineage_grace, ring_size, budget;
	bool unpin, verbose;
};

static const char *const plans[] = { "auto", "syscall", "fentry", NULL };
static const char *const evidences[] = { "default", "line",    "unit", "thread", "relay",
					 "text",    "handoff", "sole", NULL };

static const char *check_glob(const char *text)
{
	return text[0] == '/' ? NULL : "a path below the cgroup v2 root, such as /kubepods/*/*/*";
}

#define TEXT(member, option, metavar, words)                                                       \
	{                                                                                          \
		.name = (option), .type = OPTION_TEXT, .offset = offsetof(struct values, member),  \
		.argument = (metavar), .help = (words)                                             \
	}
#define AT(member) .offset = offsetof(struct values, member)

static const struct option_spec specs[] = {
	{ .name = "cgroup",
	  .type = OPTION_LIST,
	  AT(globs),
	  .argument = "GLOB",
	  .check = check_glob,
	  .help = "cgroups to capture, by their path below the v2 root; * stays within a level" },
	TEXT(state_dir, "state-dir", "DIR", "what is not sent yet, and the connection (in memory)"),
	TEXT(secret_dir, "secret-dir", "DIR", "mounted secret with the connection"),
	TEXT(pin_dir, "pin-dir", "DIR",
	     "pin programs and maps there, to be taken over (not pinned)"),
	{ .name = "unpin",
	  .type = OPTION_FLAG,
	  AT(unpin),
	  .help = "take what --pin-dir holds out of the kernel, and end" },
	TEXT(model_id, "model-id", "ID", "attribute model_id of every line"),
	TEXT(model_version_id, "model-version-id", "ID", "attribute model_version_id"),
	TEXT(environment, "environment", "NAME", "attribute environment"),
	TEXT(replica, "replica", "ID", "attribute replica"),
	TEXT(chainlet_id, "chainlet-id", "ID", "attribute chainlet_id"),
	TEXT(training_job_id, "training-job-id", "ID", "attribute training_job_id"),
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
	{ .name = "budget",
	  .type = OPTION_BYTES,
	  AT(budget),
	  .argument = "BYTES",
	  .help = "bytes a second that one container may log; the rest is counted (no limit)" },
	{ .name = "plan",
	  .type = OPTION_CHOICE,
	  AT(plan),
	  .argument = "PLAN",
	  .choices = plans,
	  .help = "auto, syscall or fentry" },
	{ .name = "verbose",
	  .letter = 'v',
	  .type = OPTION_FLAG,
	  AT(verbose),
	  .help = "each container, and what libbpf says" },
	{ .name = NULL },
};

static const struct command_spec command = {
	.name = "agent",
	.operands = "",
	.summary = "The node daemon: captures containers and exports what they log, until SIGTERM.",
	.notes =
		"Where to: OTEL_EXPORTER_OTLP_ENDPOINT and its kin, --secret-dir, or `reqtap "
		"connection set`.\n"
		"Exit status: 0 after SIGTERM; 2 usage, 77 capture does not work here (see `reqtap "
		"doctor`).",
	.options = specs,
};

static void fill(struct agent_config *config, const struct values *values)
{
	config->probe = (struct probe_config){
		.plan = values->plan,
		.ring_bytes = values->ring_size,
		.lineage_grace_ns = values->lineage_grace,
		.budget_bytes = values->budget,
		.headers = values->headers.items,
		.by_cgroup = true,
		.pin_dir = values->pin_dir,
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
	config->connection = (struct connection_config){
		.state_dir = values->state_dir,
		.secret_dir = values->secret_dir,
		.use_env = true,
	};
	config->globs = values->globs.items;
}

/* 0, or the exit status. */
static int check(struct values *values)
{
	if (values->ring_size & (values->ring_size - 1)) {
		log_error("--ring-size: not a power of two; 64M would be right");
		return EXIT_USAGE;
	}
	if (!values->globs.count) {
		log_error("--cgroup: which cgroups? /kubepods/*/*/* would be right");
		return EXIT_USAGE;
	}
	if (!values->headers.count)
		values->headers.items[0] = "x-baseten-request-id";
	return 0;
}

/* After the last agent of a node: the kernel goes on capturing otherwise. */
static int unpin(const char *dir)
{
	int err = dir ? probe__unpin(dir) : -EINVAL;

	if (!dir)
		log_error("--unpin: needs --pin-dir; " PIN_DIR " would be right");
	else if (err == -EBUSY)
		log_error("--unpin: an agent uses %s; stop it first", dir);
	else if (err)
		log_error("--unpin: %s: %s", dir, strerror(-err));
	return !dir ? EXIT_USAGE : err ? EXIT_FAILED : EXIT_DONE;
}

static int obstacle(void)
{
	struct doctor_report report;
	const struct doctor_check *found;

	doctor__examine(&report, false);
	found = doctor__obstacle(&report);
	if (!found)
		return 0;
	log_error("cannot capture here: %s: %s; %s", found->name, found->found, found->mend);
	return EXIT_CANNOT;
}

int cmd_agent(int argc, char **argv)
{
	struct values values = { .lineage_grace = 1000000000, .ring_size = 64 << 20 };
	struct agent_config config = { 0 };
	int first = options__parse(&command, argc, argv, &values), status;

	if (first < 0)
		return OPTIONS_STATUS(first);
	if (values.verbose)
		log__set_level(LOG_LEVEL_DEBUG);
	status = values.unpin ? unpin(values.pin_dir) : check(&values);
	if (values.unpin)
		goto end;
	if (!status)
		status = obstacle();
	if (!status) {
		secret__guard_process();
		fill(&config, &values);
		status = agent__run(&config);
	}
end:
	option_list__clear(&values.headers);
	option_list__clear(&values.globs);
	return status;
}
