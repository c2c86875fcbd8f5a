/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "agent/cmd_connection.h"
#include "agent/command.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

static const struct command commands[] = {
	{ "run", cmd_run, "capture one command: the laptop and the test bench" },
	{ "agent", cmd_agent, "the node daemon: capture containers, export what they log" },
	{ "events", cmd_events, "tell what happens to the deployments of a cluster" },
	{ "logs", cmd_logs, "search and follow the logs kept on this node" },
	{ "top", cmd_top, "replicas and requests in flight, live" },
	{ "status", cmd_status, "what the agent captures, what is on its way, what was lost" },
	{ "doctor", cmd_doctor, "what this kernel allows, what is missing, how to mend it" },
	{ "connection", cmd_connection, "set, show, test or remove the one OTLP destination" },
	{ "version", cmd_version, "print the version" },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fprintf(out, "usage: reqtap COMMAND [options]\n\n"
		     "Stamps what a server logs with the id of the request that caused it.\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\n'reqtap COMMAND --help' tells more.\n");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return EXIT_DONE;
	}
	if (!strcmp(argv[1], "--version"))
		return cmd_version(1, argv + 1);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "reqtap: no command '%s'; 'reqtap help' lists them\n", argv[1]);
	return EXIT_USAGE;
}
