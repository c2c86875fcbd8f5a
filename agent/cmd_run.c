/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/capture.h"
#include "agent/command.h"
#include "agent/log.h"
#include "agent/options.h"
#include "agent/run.h"
#include "agent/secret.h"

struct values {
	int output;
	struct capture_config capture;
	struct keep_config keep;
};

static const char *const outputs[] = { "auto", "pretty", "json", "none", NULL };
#define AT(member) .offset = offsetof(struct values, member)

static const struct option_spec specs[] = {
	{ .name = "output",
	  .letter = 'o',
	  .type = OPTION_CHOICE,
	  AT(output),
	  .argument = "FORMAT",
	  .choices = outputs,
	  .help = "pretty, json or none; pretty on a terminal, else json" },
	CAPTURE_OPTIONS(offsetof(struct values, capture)),
	{ .name = "state-dir",
	  .type = OPTION_TEXT,
	  AT(keep.state_dir),
	  .argument = "DIR",
	  .help = "keep logs there for `reqtap logs`, and what is not sent yet (in memory)" },
	KEEP_OPTIONS(offsetof(struct values, keep)),
	{ .name = "verbose",
	  .letter = 'v',
	  .type = OPTION_FLAG,
	  AT(capture.verbose),
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
	capture__fill(&values->capture, &config->probe, &config->pipeline, &config->given);
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

int cmd_run(int argc, char **argv)
{
	struct values values = { .capture = CAPTURE_DEFAULTS };
	struct run_config config = { 0 };
	struct destination destination;
	int first = options__parse(&command, argc, argv, &values), status;

	if (first < 0)
		return OPTIONS_STATUS(first);
	if (capture__check(&values.capture) || keep__check(&values.keep))
		return EXIT_USAGE;
	fill(&config, &values);
	destination__init(&destination);
	secret__guard_process(); /* curl, too, has the header's value in memory */
	status = read_destination(&destination, &config);
	if (!status && capture__obstacle())
		status = EXIT_CANNOT;
	if (!status)
		status = run__command(&config, argv + first);
	destination__clear(&destination);
	option_list__clear(&values.capture.headers);
	return status;
}
