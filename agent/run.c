/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "agent/child.h"
#include "agent/command.h"
#include "agent/counter.h"
#include "agent/discard.h"
#include "agent/drain.h"
#include "agent/log.h"
#include "agent/request_id.h"
#include "agent/runtime.h"

#define FINAL_SEND_NS 10000000000ULL /* for what is left to send when the command has ended */

struct run {
	struct loop *loop;
	struct probe *probe;
	struct replica_table *replicas;
	struct pipeline *pipeline;
	struct runtime_table *runtimes;
	struct loop_timer *tick; /* of the runtimes */
	struct drain *drain;
	struct console *console;
	struct shipper *shipper; /* NULL: nothing is exported */
	struct keep *keep;       /* NULL: nothing is kept */
	struct child child;
	struct discard *outputs[2]; /* its stdout and stderr: the records come from the kernel */
	unsigned open_pipes;
	bool ended; /* the command; what it started may go on */
	bool childless;
	bool console_gone;
	bool verbose;
	int status;
};

static void on_record(void *ctx, const struct record *record)
{
	struct run *run = ctx;

	if (!run->console_gone)
		console__record(run->console, record);
	if (run->shipper)
		shipper__record(run->shipper, record);
	keep__record(run->keep, record);
}

static void on_durable(void *ctx, uint64_t mark)
{
	struct run *run = ctx;

	if (run->drain)
		drain__release(run->drain, mark);
}

static void on_say(void *ctx, const char *line)
{
	log_warn("%s", line);
}

static void on_round(void *ctx, uint64_t mark)
{
	struct run *run = ctx;

	/* a reader that went away (`| head`) ends the showing, not the command */
	if (!run->console_gone && console__flush(run->console))
		run->console_gone = true;
	if (run->shipper)
		shipper__mark(run->shipper, mark);
	else
		drain__release(run->drain, mark);
}

static void on_event(void *ctx, const struct event *event)
{
	struct run *run = ctx;

	runtime_table__event(run->runtimes, event, loop__now(run->loop));
	keep__event(run->keep, event);
	if (event->kind == RT_EVENT_REQUEST)
		request_id__keep(run->probe, (const void *)event);
}

static void on_tick(void *ctx, uint64_t now_ns)
{
	struct run *run = ctx;

	loop_timer__set(run->tick, runtime_table__tick(run->runtimes, now_ns));
}

static int set_up_runtimes(struct run *run)
{
	struct runtime_config config = { .probe = run->probe, .say = on_say, .ctx = run };

	run->runtimes = runtime_table__new(&config);
	run->tick = loop_timer__new(run->loop, on_tick, run);
	if (!run->runtimes || !run->tick)
		return -ENOMEM;
	on_tick(run, loop__now(run->loop));
	return 0;
}

/* The command has ended, with all that it started, and no byte of theirs is left in a pipe. */
static void check_end(struct run *run)
{
	if (run->ended && run->childless && !run->open_pipes)
		loop__stop(run->loop);
}

static void on_output_end(void *ctx)
{
	struct run *run = ctx;

	run->open_pipes--;
	check_end(run);
}

static void reap(struct run *run)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != run->child.pid)
			continue;
		run->ended = true;
		run->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	run->childless = pid < 0 && errno == ECHILD;
	check_end(run);
}

static void on_signal(void *ctx, int signal)
{
	struct run *run = ctx;

	if (signal == SIGCHLD)
		reap(run);
	else
		kill(run->child.pid, signal);
}

static int watch_child(struct run *run)
{
	sigset_t signals;
	int err = 0;

	for (int i = 0; i < 2 && !err; i++) {
		run->outputs[i] =
			discard__new(run->loop, run->child.out[i], on_output_end, run, &err);
		run->open_pipes += !err;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	return err ? err : loop__signals(run->loop, &signals, on_signal, run);
}

static int set_up_shipper(struct run *run, const struct run_config *config)
{
	struct shipper_config shipper = {
		.outbox = { .dir = config->keep.state_dir },
		.durable = on_durable,
		.say = on_say,
		.ctx = run,
	};

	if (!config->destination)
		return 0;
	run->shipper = shipper__new(run->loop, &shipper);
	return run->shipper ? shipper__set_destination(run->shipper, config->destination) : -ENOMEM;
}

static int set_up(struct run *run, const struct run_config *config)
{
	struct pipeline_config pipeline = config->pipeline;
	struct drain_config drain = {
		.probe = run->probe, .round = on_round, .event = on_event, .ctx = run
	};
	bool colour =
		config->output == CONSOLE_PRETTY && isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	int err;

	pipeline.sink = on_record;
	pipeline.sink_ctx = run;
	pipeline.request_lookup = request_id__lookup;
	pipeline.request_lookup_ctx = run->probe;
	pipeline.stream = on_event;
	pipeline.stream_ctx = run;
	run->loop = loop__new();
	run->replicas = replica_table__new(&(struct replica_config){ .given = &config->given });
	run->console = console__new(stdout, config->output, colour);
	if (!run->loop || !run->replicas || !run->console)
		return -ENOMEM;
	run->pipeline = pipeline__new(&pipeline, run->replicas);
	if (!run->pipeline)
		return -ENOMEM;
	err = set_up_shipper(run, config);
	if (!err)
		err = set_up_runtimes(run);
	if (err)
		return err;
	if (config->keep.state_dir) {
		run->keep = keep__new(run->loop, &config->keep);
		if (!run->keep)
			return -ECANCELED;
	}
	drain.pipeline = run->pipeline;
	run->drain = drain__new(run->loop, &drain, &err);
	return run->drain ? 0 : err;
}

static void on_sent(void *ctx, uint64_t records_left)
{
	struct run *run = ctx;

	if (records_left)
		log_warn("%llu records could not be sent", (unsigned long long)records_left);
	loop__stop(run->loop);
}

static void say_loss(uint64_t count, const char *what)
{
	if (count)
		log_warn("%llu %s", (unsigned long long)count, what);
}

/* The unit is its name's last word, where that is one. */
static const char *unit_of(const struct counter *counter)
{
	const char *last = strrchr(counter->name, '_');

	if (last && (!strcmp(last, "_bytes") || !strcmp(last, "_runs")))
		return last + 1;
	return "writes";
}

static void say_counter(const struct counter *counter, uint64_t count)
{
	if (count && counter && counter->kind == COUNTER_LOST)
		log_warn("%llu %s lost (%s)", (unsigned long long)count, unit_of(counter),
			 counter->why);
}

static void say_losses(const struct run *run)
{
	struct pipeline_stats stats;
	uint64_t counters[RT_COUNTERS];

	if (!probe__counters(run->probe, counters))
		for (unsigned i = 0; i < RT_COUNTERS; i++)
			say_counter(counter__of(i), counters[i]);
	pipeline__stats(run->pipeline, &stats);
	say_loss(stats.line->cut_bytes, "bytes cut from lines longer than --line-max");
	say_loss(stats.bad_events, "ring records not understood");
}

/* Which evidence gave the lines their ids, and why some have none. */
static void say_evidence(const struct run *run)
{
	char text[512] = "";
	struct pipeline_stats stats;
	FILE *out = fmemopen(text, sizeof(text), "w");

	if (!out)
		return;
	pipeline__stats(run->pipeline, &stats);
	fprintf(out, "%llu lines", (unsigned long long)stats.line->lines);
	attribute__describe(stats.attribute, out);
	fclose(out);
	log_info("%s", text);
}

/* Everything captured goes out; what was lost is said. */
static void finish(struct run *run)
{
	drain__finish(run->drain);
	if (run->shipper) {
		shipper__drain(run->shipper, loop__now(run->loop) + FINAL_SEND_NS, on_sent, run);
		loop__run(run->loop);
	}
	say_losses(run);
	if (run->verbose)
		say_evidence(run);
}

static void tear_down(struct run *run)
{
	for (int i = 0; i < 2; i++)
		discard__free(run->outputs[i]);
	child__close(&run->child);
	drain__free(run->drain);
	runtime_table__free(run->runtimes);
	loop_timer__free(run->tick);
	shipper__free(run->shipper);
	keep__free(run->keep);
	pipeline__free(run->pipeline);
	replica_table__free(run->replicas);
	console__free(run->console);
	probe__free(run->probe);
	loop__free(run->loop);
}

static int start(struct run *run, const struct run_config *config, char **command)
{
	int err = set_up(run, config);

	if (!err)
		err = child__fork(&run->child, command);
	if (!err)
		err = watch_child(run);
	if (!err)
		err = probe__follow(run->probe, run->child.pid);
	if (err && err != -ECANCELED) /* then it has been said */
		log_error("cannot start: %s", strerror(-err));
	return err;
}

int run__command(const struct run_config *config, char **command)
{
	struct run run = { .child = { .go = -1, .failed = -1, .out = { -1, -1 } },
			   .verbose = config->probe.verbose || config->output == CONSOLE_PRETTY };
	char *problem = NULL;
	int err = 0;

	signal(SIGPIPE, SIG_IGN);
	run.probe = probe__new(&config->probe, &err, &problem);
	if (!run.probe) {
		log_error("%s", problem ? problem : strerror(-err));
		free(problem);
		return EXIT_CANNOT;
	}
	if (start(&run, config, command)) {
		tear_down(&run);
		return EXIT_FAILED;
	}
	err = child__release(&run.child);
	if (err)
		log_error("%s: %s", command[0], strerror(-err));
	loop__run(run.loop);
	finish(&run);
	tear_down(&run);
	return run.status;
}
