/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "agent/command.h"
#include "agent/follow.h"
#include "agent/format.h"
#include "agent/log.h"
#include "agent/options.h"
#include "agent/when.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_FOLLOW 10 /* before what comes */
#define LIMIT_UNSET UINT64_MAX

enum output { OUTPUT_AUTO, OUTPUT_PRETTY, OUTPUT_JSON, OUTPUT_JSONL, OUTPUT_CSV };

struct values {
	int output;
	bool follow, no_pager;
	const char *state_dir, *since, *until;
	uint64_t limit;
};

static const char *const outputs[] = { "auto", "pretty", "json", "jsonl", "csv", NULL };

#define AT(member) .offset = offsetof(struct values, member)

static const struct option_spec specs[] = {
	{ .name = "follow",
	  .letter = 'f',
	  .type = OPTION_FLAG,
	  AT(follow),
	  .help = "show what comes, as it comes" },
	{ .name = "since",
	  .letter = 'S',
	  .type = OPTION_TEXT,
	  AT(since),
	  .argument = "TIME",
	  .help = "15m (ago), 2026-11-24T16:00:00Z, \"2026-11-24 16:00\", 16:00" },
	{ .name = "until",
	  .letter = 'U',
	  .type = OPTION_TEXT,
	  AT(until),
	  .argument = "TIME",
	  .help = "before then" },
	{ .name = "limit",
	  .letter = 'n',
	  .type = OPTION_NUMBER,
	  AT(limit),
	  .argument = "N",
	  .max = 10000000,
	  .help = "the newest N (1000; with -f 10); 0: all" },
	{ .name = "output",
	  .letter = 'o',
	  .type = OPTION_CHOICE,
	  AT(output),
	  .argument = "FORMAT",
	  .choices = outputs,
	  .help = "pretty, json (one array), jsonl (an object a line) or csv; pretty on a "
		  "terminal, else jsonl" },
	{ .name = "state-dir",
	  .type = OPTION_TEXT,
	  AT(state_dir),
	  .argument = "DIR",
	  .help = "of the agent, or of `reqtap run --state-dir` (" STATE_DIR_DEFAULT ")" },
	{ .name = "no-pager", .type = OPTION_FLAG, AT(no_pager), .help = "no pager on a terminal" },
	{ .name = NULL },
};

static const struct command_spec command = {
	.name = "logs",
	.operands = "[QUERY]...",
	.summary = "Searches the logs kept on this node; the newest come last.",
	.notes = "A query is words (in any case, anywhere in the line), \"phrases\", and\n"
		 "  requestId:ID replica:ID environment:NAME deployment:ID model:ID level:LEVEL\n"
		 "where a level means that and above. All must hold; of one prefix given twice, "
		 "one.\n"
		 "  reqtap logs requestId:31255019cf83c4d0c7492a5006591e1f502a5\n"
		 "  reqtap logs -f environment:production level:warn\n"
		 "Exit status: 0 (also when nothing is found), 1 failed, 2 usage.",
	.options = specs,
	.operands_max = -1,
};

struct logs {
	struct query query;
	struct search_range range;
	enum output output;
	struct format_style style;
	FILE *out;
	pid_t pager;
	uint64_t shown;
};

static uint64_t unix_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool show(void *ctx, const struct record *record, int64_t seq, uint32_t missing)
{
	const struct format_place place = { seq, missing };
	struct logs *logs = ctx;

	switch (logs->output) {
	case OUTPUT_JSON:
		fputs(logs->shown ? ",\n" : "[\n", logs->out);
		format__json(logs->out, record, &place);
		break;
	case OUTPUT_JSONL:
		format__json(logs->out, record, &place);
		putc('\n', logs->out);
		break;
	case OUTPUT_CSV:
		if (!logs->shown)
			format__csv_head(logs->out);
		format__csv(logs->out, record);
		break;
	default:
		format__pretty(logs->out, record, &logs->style);
	}
	logs->shown++;
	return !ferror(logs->out);
}

static void end_output(struct logs *logs)
{
	if (logs->output == OUTPUT_JSON)
		fputs(logs->shown ? "\n]\n" : "[]\n", logs->out);
	else if (logs->output == OUTPUT_CSV && !logs->shown)
		format__csv_head(logs->out);
}

/* The person's own pager, else less: colours, no pager for a screenful, the newest in view. */
static void start_pager(struct logs *logs)
{
	const char *program = getenv("PAGER");
	int ends[2];

	if (!program || !*program)
		program = "less";
	if (!strcmp(program, "cat") || pipe(ends) < 0)
		return;
	logs->pager = fork();
	if (logs->pager == 0) {
		setenv("LESS", "FRX", 0);
		dup2(ends[0], STDIN_FILENO);
		close(ends[0]);
		close(ends[1]);
		execl("/bin/sh", "sh", "-c", program, NULL);
		_exit(127);
	}
	close(ends[0]);
	if (logs->pager > 0)
		logs->out = fdopen(ends[1], "w");
	if (logs->pager < 0 || !logs->out) {
		logs->out = stdout;
		close(ends[1]);
	}
}

static void end_pager(struct logs *logs)
{
	if (logs->out != stdout) {
		fclose(logs->out);
		waitpid(logs->pager, NULL, 0);
	}
}

/* All operands are one query. 0 or the exit status. */
static int read_query(struct logs *logs, char **operands)
{
	static char text[QUERY_MAX_BYTES + 2];
	struct query_problem problem;
	size_t len = 0;
	char line[700];

	for (; *operands && len < sizeof(text); operands++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "",
					*operands);
	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	if (!query__parse((struct str){ text, len }, &logs->query, &problem))
		return 0;
	query__explain((struct str){ text, len }, &problem, line, sizeof(line));
	log_error("logs: %s", line);
	return EXIT_USAGE;
}

static int read_time(const char *option, const char *text, uint64_t *ret)
{
	if (!text || !when__parse(text, unix_now(), ret))
		return 0;
	log_error("logs: %s: '%s' is no time: give " WHEN_RIGHT, option, text);
	return EXIT_USAGE;
}

static int read_values(struct logs *logs, const struct values *values)
{
	bool terminal = isatty(STDOUT_FILENO);
	int status;

	logs->range.until_ns = UINT64_MAX;
	status = read_time("--since", values->since, &logs->range.since_ns);
	if (!status)
		status = read_time("--until", values->until, &logs->range.until_ns);
	if (status)
		return status;
	if (logs->range.since_ns >= logs->range.until_ns) {
		log_error("logs: --since is not before --until");
		return EXIT_USAGE;
	}
	logs->output = values->output ? (enum output)values->output
		       : terminal     ? OUTPUT_PRETTY
				      : OUTPUT_JSONL;
	if (values->follow && (logs->output == OUTPUT_JSON || values->until)) {
		log_error(values->until ? "logs: -f has no end: --until does not go with it"
					: "logs: -f has no end: give --output jsonl");
		return EXIT_USAGE;
	}
	logs->style.date = true;
	logs->style.colour = terminal && !getenv("NO_COLOR");
	logs->out = stdout;
	return 0;
}

static int say_unreadable(const char *dir, int err)
{
	if (err == -ENOENT)
		log_error("logs: there is no history in %s: an agent, or `reqtap run --state-dir`,"
			  " keeps one; --state-dir names another place",
			  dir);
	else
		log_error("logs: cannot read the history in %s: %s", dir,
			  err == -EBADMSG ? "the file is damaged" : strerror(-err));
	return EXIT_FAILED;
}

static int search_once(struct logs *logs, const char *dir, uint64_t limit, bool told)
{
	int err;
	struct search *search = search__open(dir, &err);

	if (!err && limit)
		err = search__newest(search, &logs->query, &logs->range, limit, NULL, show, logs);
	else if (!err)
		err = search__all(search, &logs->query, &logs->range, show, logs);
	search__close(search);
	if (err)
		return say_unreadable(dir, err);
	end_output(logs);
	if (!told && logs->shown == limit && limit)
		log_info("logs: the newest %" PRIu64 " are shown; --limit 0 shows all", limit);
	return EXIT_DONE;
}

static int follow(struct logs *logs, const char *dir, uint64_t limit)
{
	struct follow *follow = follow__new(dir, &logs->query);
	int err = follow ? 0 : -ENOMEM;

	if (!err)
		err = follow__backlog(follow, limit ? limit : SIZE_MAX, logs->range.since_ns, show,
				      logs);
	while (!err && !fflush(logs->out)) {
		nanosleep(&(struct timespec){ .tv_nsec = FOLLOW_POLL_NS }, NULL);
		err = follow__poll(follow, unix_now(), show, logs);
	}
	follow__free(follow);
	return err && err != -EPIPE ? say_unreadable(dir, err) : EXIT_DONE;
}

int cmd_logs(int argc, char **argv)
{
	struct values values = { .limit = LIMIT_UNSET, .state_dir = STATE_DIR_DEFAULT };
	static struct logs logs;
	int first = options__parse(&command, argc, argv, &values), status;
	uint64_t limit;

	if (first < 0)
		return OPTIONS_STATUS(first);
	limit = values.limit;
	status = read_query(&logs, argv + first);
	if (!status)
		status = read_values(&logs, &values);
	if (status)
		return status;
	signal(SIGPIPE, SIG_IGN);
	if (limit == LIMIT_UNSET)
		limit = values.follow ? LIMIT_FOLLOW : LIMIT_DEFAULT;
	if (values.follow)
		return follow(&logs, values.state_dir, limit);
	if (logs.output == OUTPUT_PRETTY && isatty(STDOUT_FILENO) && !values.no_pager)
		start_pager(&logs);
	status = search_once(&logs, values.state_dir, limit, values.limit != LIMIT_UNSET);
	end_pager(&logs);
	return status;
}
