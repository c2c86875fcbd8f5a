/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/ask.h"
#include "agent/command.h"
#include "agent/keep.h"
#include "agent/log.h"
#include "agent/options.h"

struct values {
	const char *state_dir;
	int check;
	bool json;
};

enum check { CHECK_NONE, CHECK_LIVE, CHECK_READY };
static const char *const checks[] = { "none", "live", "ready", NULL };

static const struct option_spec specs[] = {
	{ .name = "json",
	  .letter = 'j',
	  .type = OPTION_FLAG,
	  .offset = offsetof(struct values, json),
	  .help = "one JSON object" },
	{ .name = "check",
	  .type = OPTION_CHOICE,
	  .offset = offsetof(struct values, check),
	  .argument = "WHAT",
	  .choices = checks,
	  .help = "live or ready: only whether it is, for a probe" },
	{ .name = "state-dir",
	  .type = OPTION_TEXT,
	  .offset = offsetof(struct values, state_dir),
	  .argument = "DIR",
	  .help = "of the agent (" STATE_DIR_DEFAULT ")" },
	{ .name = NULL },
};

static const struct command_spec command = {
	.name = "status",
	.operands = "",
	.summary =
		"What the running agent captures, what is on its way, and what was lost and why.",
	.notes = "Exit status: 0, 1 no agent answers there or the check fails, 2 usage.\n"
		 "Without an agent: bpftool, see docs/troubleshooting.md.",
	.options = specs,
};

int cmd_status(int argc, char **argv)
{
	static const char *const paths[] = {
		[CHECK_NONE] = "/status", [CHECK_LIVE] = "/healthz", [CHECK_READY] = "/readyz"
	};
	struct values values = { .state_dir = STATE_DIR_DEFAULT };
	int first = options__parse(&command, argc, argv, &values), status;
	struct answer answer = { 0 };

	if (first < 0)
		return OPTIONS_STATUS(first);
	status =
		ask(values.state_dir,
		    values.json && !values.check ? "/api/v1/status" : paths[values.check], &answer);
	if (answer.text) {
		fputs(answer.text, stdout);
		if (values.json && !values.check)
			putchar('\n');
	}
	free(answer.text);
	return status;
}
