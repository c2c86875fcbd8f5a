/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "agent/command.h"
#include "agent/options.h"

static const struct command_spec spec = {
	.name = "version",
	.operands = "",
	.summary = "Print the version.",
};

int cmd_version(int argc, char **argv)
{
	int first = options__parse(&spec, argc, argv, NULL);

	if (first < 0)
		return OPTIONS_STATUS(first);
	printf("reqtap " REQTAP_VERSION "\n");
	return EXIT_DONE;
}
