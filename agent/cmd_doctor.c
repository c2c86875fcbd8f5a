/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <cjson/cJSON.h>
#include "agent/command.h"
#include "agent/doctor.h"
#include "agent/options.h"

struct values {
	bool json;
};

static const struct option_spec specs[] = {
	{ .name = "json",
	  .letter = 'j',
	  .type = OPTION_FLAG,
	  .offset = offsetof(struct values, json),
	  .help = "one JSON object" },
	{ .name = NULL },
};

static const struct command_spec command = {
	.name = "doctor",
	.operands = "",
	.summary = "Tells what this kernel allows, what is missing, and how to mend it.",
	.notes = "Exit status: 0 capture works here, 77 it does not.",
	.options = specs,
};

static const char *state_text(enum doctor_state state)
{
	static const char *const texts[] = { "ok", "less", "cannot" };

	return texts[state];
}

static void print_text(const struct doctor_report *report)
{
	for (unsigned i = 0; i < report->count; i++) {
		const struct doctor_check *check = &report->checks[i];

		printf("%-6s %-15s %s\n", state_text(check->state), check->name, check->found);
		if (check->mend[0])
			printf("%-6s %-15s mend: %s\n", "", "", check->mend);
	}
	printf("capture %s; plan: %s\n", report->can_capture ? "works" : "does not work here",
	       report->plan);
}

static int print_json(const struct doctor_report *report)
{
	cJSON *root = cJSON_CreateObject(), *checks = cJSON_AddArrayToObject(root, "checks");
	cJSON *hooks = cJSON_AddArrayToObject(root, "hooks");
	char *text;

	for (unsigned i = 0; i < report->count; i++) {
		const struct doctor_check *check = &report->checks[i];
		cJSON *item = cJSON_CreateObject();

		cJSON_AddStringToObject(item, "name", check->name);
		cJSON_AddStringToObject(item, "state", state_text(check->state));
		cJSON_AddStringToObject(item, "found", check->found);
		if (check->mend[0])
			cJSON_AddStringToObject(item, "mend", check->mend);
		cJSON_AddItemToArray(checks, item);
	}
	for (unsigned i = 0; i < report->hook_count; i++) {
		cJSON *item = cJSON_CreateObject();

		cJSON_AddStringToObject(item, "name", report->hooks[i].name);
		cJSON_AddStringToObject(item, "state",
					report->hooks[i].there ? "attached" : "absent");
		cJSON_AddItemToArray(hooks, item);
	}
	cJSON_AddBoolToObject(root, "capture", report->can_capture);
	cJSON_AddStringToObject(root, "plan", report->plan);
	text = cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	if (!text)
		return EXIT_FAILED;
	puts(text);
	free(text);
	return EXIT_DONE;
}

int cmd_doctor(int argc, char **argv)
{
	struct doctor_report report;
	struct values values = { 0 };
	int first = options__parse(&command, argc, argv, &values);

	if (first < 0)
		return OPTIONS_STATUS(first);
	doctor__examine(&report, true);
	if (!values.json)
		print_text(&report);
	else if (print_json(&report) != EXIT_DONE)
		return EXIT_FAILED;
	return report.can_capture ? EXIT_DONE : EXIT_CANNOT;
}
