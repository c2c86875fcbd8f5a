/* SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "agent/ask.h"
#include "agent/command.h"
#include "agent/log.h"
#include "agent/options.h"

#define REQUESTS_SHOWN 1000

struct values {
	const char *state_dir;
	uint64_t interval, iterations;
	bool json;
};

#define AT(member) .offset = offsetof(struct values, member)

static const struct option_spec specs[] = {
	{ .name = "interval",
	  .letter = 'i',
	  .type = OPTION_DURATION,
	  AT(interval),
	  .argument = "TIME",
	  .min = 100000000,
	  .help = "between two looks (1s)" },
	{ .name = "iterations",
	  .letter = 'n',
	  .type = OPTION_NUMBER,
	  AT(iterations),
	  .argument = "N",
	  .help = "end after N looks (0: never; 1 where the output is no terminal)" },
	{ .name = "json", .letter = 'j', .type = OPTION_FLAG, AT(json), .help = "JSON" },
	{ .name = "state-dir",
	  .type = OPTION_TEXT,
	  AT(state_dir),
	  .argument = "DIR",
	  .help = "of the agent, or of `reqtap run --state-dir` (" STATE_DIR_DEFAULT ")" },
	{ .name = NULL },
};

static const struct command_spec command = {
	.name = "top",
	.operands = "",
	.summary = "A live table of replicas and of the requests in flight.",
	.notes = "EVIDENCE is why the request's last line has its id. A request that has been\n"
		 "answered shows for three seconds more.\n"
		 "Exit status: 0, 1 no reqtap is running there, 2 usage.",
	.options = specs,
};

static double number(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

/* Ids come from the network: nothing of them steers the terminal. */
static const char *text(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!cJSON_IsString(item) || !item->valuestring[0])
		return "-";
	for (char *c = item->valuestring; *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			*c = '?';
	return item->valuestring;
}

static int by_lines(const void *left, const void *right)
{
	double a = number(*(cJSON *const *)left, "lines");
	double b = number(*(cJSON *const *)right, "lines");

	return a < b ? 1 : a > b ? -1 : 0;
}

static int by_age(const void *left, const void *right)
{
	const cJSON *a = *(cJSON *const *)left, *b = *(cJSON *const *)right;
	bool a_open = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(a, "in_flight"));
	bool b_open = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(b, "in_flight"));

	if (a_open != b_open)
		return a_open ? -1 : 1;
	return number(a, "age_ms") < number(b, "age_ms") ? 1 : -1;
}

/* Calls `row` for the first `rows` of the array in order. */
static void table(const cJSON *array, int (*order)(const void *, const void *), int rows,
		  void (*row)(const cJSON *item))
{
	int count = cJSON_GetArraySize(array), i = 0;
	const cJSON **items = calloc((size_t)count + 1, sizeof(*items)), *item;

	if (!items)
		return;
	cJSON_ArrayForEach (item, array)
		items[i++] = item;
	qsort(items, (size_t)count, sizeof(*items), order);
	for (i = 0; i < count && i < rows; i++)
		row(items[i]);
	if (count > rows)
		printf("  and %d more\n", count - rows);
	free(items);
}

static void replica_row(const cJSON *item)
{
	double lines = number(item, "lines");

	printf("%-12.12s %-14.14s %-14.14s %10.0f %8.0f %7.1f%%\n", text(item, "replica"),
	       text(item, "environment"), text(item, "model_version_id"), lines,
	       number(item, "errors"), lines ? 100 * number(item, "attributed") / lines : 0);
}

static void request_row(const cJSON *item)
{
	bool open = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "in_flight"));

	printf("%-40.40s %-10.10s %9.2fs %7.0f %7.0f %-9.9s %s\n", text(item, "request_id"),
	       text(item, "replica"), number(item, "age_ms") / 1000, number(item, "lines"),
	       number(item, "errors"), text(item, "evidence"), open ? "" : "answered");
}

static void show(const cJSON *top, bool terminal)
{
	const cJSON *replicas = cJSON_GetObjectItemCaseSensitive(top, "replicas");
	const cJSON *requests = cJSON_GetObjectItemCaseSensitive(top, "requests");
	struct winsize size = { .ws_row = 0 };
	int rows = REQUESTS_SHOWN, few;

	if (terminal && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row > 12)
		rows = size.ws_row - 6;
	few = rows / 3 < cJSON_GetArraySize(replicas) ? rows / 3 : cJSON_GetArraySize(replicas);
	if (terminal)
		fputs("\033[H\033[J", stdout);
	printf("%d replicas, %d requests, %.0f lines lost\n\n", cJSON_GetArraySize(replicas),
	       cJSON_GetArraySize(requests), number(top, "lost"));
	printf("%-12s %-14s %-14s %10s %8s %8s\n", "REPLICA", "ENVIRONMENT", "DEPLOYMENT", "LINES",
	       "ERRORS", "WITH ID");
	table(replicas, by_lines, few, replica_row);
	printf("\n%-40s %-10s %10s %7s %7s %-9s\n", "REQUEST", "REPLICA", "AGE", "LINES", "ERRORS",
	       "EVIDENCE");
	table(requests, by_age, rows - few, request_row);
	fflush(stdout);
}

static int look(const struct values *values, bool terminal)
{
	struct answer answer = { 0 };
	int status = ask(values->state_dir, "/api/v1/top", &answer);
	cJSON *top = status ? NULL : cJSON_Parse(answer.text);

	if (!status && values->json)
		fputs(answer.text, stdout);
	else if (!status)
		show(top, terminal);
	fflush(stdout);
	cJSON_Delete(top);
	free(answer.text);
	return status;
}

int cmd_top(int argc, char **argv)
{
	struct values values = { .interval = 1000000000, .state_dir = STATE_DIR_DEFAULT };
	int first = options__parse(&command, argc, argv, &values), status;
	bool terminal = isatty(STDOUT_FILENO);

	if (first < 0)
		return OPTIONS_STATUS(first);
	if (!terminal && !values.iterations)
		values.iterations = 1;
	for (uint64_t i = 1;; i++) {
		status = look(&values, terminal && !values.json);
		if (status || i == values.iterations || ferror(stdout))
			break;
		nanosleep(&(struct timespec){ .tv_sec = (time_t)(values.interval / 1000000000),
					      .tv_nsec = (long)(values.interval % 1000000000) },
			  NULL);
	}
	return status;
}
