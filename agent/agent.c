/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "agent/cgroup.h"
#include "agent/command.h"
#include "agent/container.h"
#include "agent/deploy.h"
#include "agent/drain.h"
#include "agent/ground.h"
#include "agent/hold.h"
#include "agent/log.h"
#include "agent/overview.h"
#include "agent/node.h"
#include "agent/rights.h"
#include "agent/running.h"
#include "agent/request_id.h"
#include "agent/runtime.h"
#include "agent/shipper.h"

#define TICK_NS 100000000ULL
#define FINAL_SEND_NS 10000000000ULL /* a pod's grace period is 30 s, then comes SIGKILL */

struct agent {
	const struct agent_config *config;
	struct loop *loop;
	struct loop_timer *tick;
	struct probe *probe;
	struct cgroup_tree tree;
	struct container_table *containers;
	struct metadata *metadata; /* NULL: no Kubernetes */
	struct node *node;
	struct hold *hold;
	uint64_t mark; /* the newest of the drain */
	struct replica_table *replicas;
	struct runtime_table *runtimes;
	struct loop_timer *runtime_tick;
	struct pipeline *pipeline;
	struct drain *drain;
	struct shipper *shipper;
	struct connection *connection;
	struct publish *publish;
	struct overview *overview;
	struct keep_config keep_config;
	struct keep *keep;        /* NULL: no state directory */
	uint64_t ignored_records; /* of cgroups that turned out to be no containers */
	enum { CAPTURING, SETTLING, SENDING } phase;
};

/* A record_fn: to the destination, to history, and to who looks on. */
static void deliver(void *ctx, const struct record *record)
{
	struct agent *agent = ctx;

	shipper__record(agent->shipper, record);
	keep__record(agent->keep, record);
}

/* Whose it is, is known, as far as it will be. */
static void on_settled(void *ctx, const struct record *record)
{
	struct agent *agent = ctx;
	struct record copy = *record;

	copy.replica = replica_table__get(agent->replicas, record->container);
	copy.scope = node__scope(agent->node, record->container);
	deliver(agent, &copy);
}

static enum hold_verdict on_verdict(void *ctx, uint64_t container, bool forced)
{
	struct agent *agent = ctx;

	return node__verdict(agent->node, container, forced ? UINT64_MAX : loop__now(agent->loop));
}

/* The kernel takes what it does not know yet for a container: records go out for true ones only. */
static void on_record(void *ctx, const struct record *record)
{
	struct agent *agent = ctx;
	struct record copy = *record;

	copy.container = container_table__resolve(agent->containers, record->container);
	if (copy.container)
		hold__record(agent->hold, &copy, agent->mark);
	else
		agent->ignored_records++;
}

static void on_deploy(void *ctx, const struct replica *replica, enum severity severity,
		      const char *text)
{
	struct agent *agent = ctx;

	deploy__record(replica, severity, text, deliver, agent);
}

struct news {
	struct agent *agent;
	struct replica replica;
};

static void on_news(void *ctx, enum severity severity, const char *text)
{
	struct news *news = ctx;

	on_deploy(news->agent, &news->replica, severity, text);
}

static void on_pod(void *ctx, const struct pod *before, const struct pod *now, bool initial)
{
	struct news news = { .agent = ctx, .replica = pod__replica(now ? now : before) };

	node__pod(news.agent->node, before, now);
	hold__settle(news.agent->hold);
	if (!initial)
		deploy__pod(before, now, news.agent->config->sidecars, on_news, &news);
}

/* The file in the container changed. */
static void on_promoted(void *ctx, const struct replica *now, struct str before)
{
	struct news news = { .agent = ctx, .replica = *now };

	deploy__promoted(now, before, on_news, &news);
}

static void on_process(struct agent *agent, uint64_t container, pid_t tgid)
{
	replica_table__process(agent->replicas, container, tgid);
	node__process(agent->node, container, tgid);
}

static void on_event(void *ctx, const struct event *event)
{
	struct agent *agent = ctx;
	uint64_t container;

	runtime_table__event(agent->runtimes, event, loop__now(agent->loop));
	keep__event(agent->keep, event);
	if (event->kind == RT_EVENT_REQUEST)
		request_id__keep(agent->probe, (const void *)event);
	if (event->kind == RT_EVENT_CGROUP)
		container_table__cgroup(agent->containers, (const void *)event);
	if (event->kind != RT_EVENT_EXEC)
		return;
	container = container_table__resolve(agent->containers, event->container);
	if (container)
		on_process(agent, container, ((const struct event_process *)event)->tgid);
}

static void on_round(void *ctx, uint64_t mark)
{
	struct agent *agent = ctx;

	agent->mark = mark;
	shipper__mark(agent->shipper, hold__mark(agent->hold, mark));
}

static void on_durable(void *ctx, uint64_t mark)
{
	struct agent *agent = ctx;

	if (agent->drain)
		drain__release(agent->drain, mark);
}

static void on_say(void *ctx, const char *line)
{
	log_warn("%s", line);
}

static void on_destination(void *ctx, const struct destination *destination, const char *problem)
{
	struct agent *agent = ctx;

	if (problem)
		log_warn("%s", problem);
	else if (!destination)
		log_warn("no destination is set: nothing is exported; `reqtap connection set`");
	if (shipper__set_destination(agent->shipper, destination))
		log_error("out of memory: the destination is as before");
}

static void on_found(void *ctx, const struct container_info *info)
{
	struct agent *agent = ctx;
	pid_t first;

	node__found(agent->node, info->id, &info->name, loop__now(agent->loop));
	first = running__take_up(agent->probe, agent->runtimes, &agent->tree, info->id, info->path);
	if (first)
		on_process(agent, info->id, first);
	log_debug("container %s", info->path);
}

static void on_gone(void *ctx, uint64_t id)
{
	struct agent *agent = ctx;

	node__gone(agent->node, id);
	replica_table__remove(agent->replicas, id);
}

/* Of what is not ours the kernel side sends nothing, and its writers pay nothing. */
static void on_ours(void *ctx, uint64_t container, bool ours)
{
	struct agent *agent = ctx;

	probe__container_set(agent->probe, container, ours ? RT_CONTAINER_CAPTURE : 0);
}

static void on_sent(void *ctx, uint64_t records_left)
{
	struct agent *agent = ctx;

	if (records_left)
		log_warn("%llu records are not sent yet", (unsigned long long)records_left);
	loop__stop(agent->loop);
}

/* Nothing more is read. What waits for its metadata waits on, as long as ever: sent by the next
 * agent, it would take with it what came after it and is sent already. */
static void finish(struct agent *agent)
{
	if (agent->phase != SETTLING || hold__stats(agent->hold)->bytes)
		return;
	agent->phase = SENDING;
	shipper__drain(agent->shipper, loop__now(agent->loop) + FINAL_SEND_NS, on_sent, agent);
}

static void on_tick(void *ctx, uint64_t now_ns)
{
	struct agent *agent = ctx;

	container_table__tick(agent->containers, now_ns);
	hold__settle(agent->hold);
	node__tick(agent->node, now_ns, on_ours, agent);
	shipper__mark(agent->shipper, hold__mark(agent->hold, agent->mark));
	finish(agent);
	loop_timer__set(agent->tick, now_ns + TICK_NS);
}

static void on_runtime_tick(void *ctx, uint64_t now_ns)
{
	struct agent *agent = ctx;

	loop_timer__set(agent->runtime_tick, runtime_table__tick(agent->runtimes, now_ns));
}

/*
 * Everything captured goes out, or stays in the state directory for the next agent. With pins the
 * kernel goes on, and the next agent ends what is unfinished here; without, it goes out as it is.
 */
static void on_signal(void *ctx, int signal)
{
	struct agent *agent = ctx;
	const char *why_not;

	if (agent->phase != CAPTURING)
		return;
	agent->phase = SETTLING;
	if (!probe__outlives(agent->probe, &why_not))
		drain__finish(agent->drain);
	drain__stop(agent->drain);
	finish(agent);
}

static int set_up_out(struct agent *agent)
{
	struct shipper_config shipper = {
		.outbox = { .dir = agent->config->connection.state_dir },
		.durable = on_durable,
		.say = on_say,
		.ctx = agent,
	};

	agent->shipper = shipper__new(agent->loop, &shipper);
	if (!agent->shipper)
		return -ENOMEM;
	agent->connection =
		connection__new(agent->loop, &agent->config->connection, on_destination, agent);
	return agent->connection ? 0 : -ENOMEM;
}

static int set_up_runtimes(struct agent *agent)
{
	struct runtime_config config = { .probe = agent->probe, .say = on_say, .ctx = agent };

	agent->runtimes = runtime_table__new(&config);
	agent->runtime_tick = loop_timer__new(agent->loop, on_runtime_tick, agent);
	if (!agent->runtimes || !agent->runtime_tick)
		return -ENOMEM;
	on_runtime_tick(agent, loop__now(agent->loop));
	return 0;
}

/* Not in a cluster, the containers say themselves whose they are. */
static int set_up_metadata(struct agent *agent)
{
	struct metadata_config config = agent->config->metadata;
	int err;

	config.changed = on_pod;
	config.say = on_say;
	config.ctx = agent;
	if (!config.node)
		return 0;
	agent->metadata = metadata__new(agent->loop, &config, &err);
	if (err == -ENOENT)
		log_warn("not in a cluster: pods are not known; --kube-api says where they are");
	return err == -ENOENT ? 0 : err;
}

static int set_up_whose(struct agent *agent)
{
	const struct agent_config *config = agent->config;
	struct replica_config replicas = { .given = &config->given,
					   .map = config->metadata.rules.map,
					   .promoted = on_promoted,
					   .ctx = agent };
	struct node_config node = {
		.sidecars = config->sidecars,
		.by_selector = config->metadata.rules.selected,
		.all = config->globs[0],
	};
	struct hold_config hold = { .verdict = on_verdict, .sink = on_settled, .ctx = agent };
	int err = set_up_metadata(agent);

	if (err)
		return err;
	agent->replicas = replica_table__new(&replicas);
	node.replicas = agent->replicas;
	node.pods = agent->metadata ? metadata__pods(agent->metadata) : NULL;
	agent->node = node__new(&node);
	agent->hold = hold__new(&hold);
	return agent->replicas && agent->node && agent->hold ? 0 : -ENOMEM;
}

static int set_up_stages(struct agent *agent)
{
	struct pipeline_config pipeline = agent->config->pipeline;
	struct container_config containers = {
		.probe = agent->probe,
		.tree = &agent->tree,
		.globs = agent->config->globs,
		.found = on_found,
		.gone = on_gone,
		.ctx = agent,
	};

	pipeline.sink = on_record;
	pipeline.sink_ctx = agent;
	pipeline.request_lookup = request_id__lookup;
	pipeline.request_lookup_ctx = agent->probe;
	pipeline.stream = on_event;
	pipeline.stream_ctx = agent;
	agent->containers = container_table__new(&containers);
	if (!agent->containers)
		return -ENOMEM;
	agent->pipeline = pipeline__new(&pipeline, agent->replicas);
	return agent->pipeline ? 0 : -ENOMEM;
}

/* What a person sees of it: history, the page, status. */
static int set_up_view(struct agent *agent)
{
	const struct overview_config overview = {
		.probe = agent->probe,
		.pipeline = agent->pipeline,
		.shipper = agent->shipper,
		.containers = agent->containers,
		.runtimes = agent->runtimes,
		.metadata = agent->metadata,
		.hold = agent->hold,
		.publish = agent->publish = publish__new(),
	};

	if (!agent->publish)
		return -ENOMEM;
	agent->overview = overview__new(agent->loop, &overview);
	if (!agent->overview)
		return -ENOMEM;
	agent->keep_config = agent->config->keep;
	agent->keep_config.routes = publish__routes(agent->publish);
	if (!agent->keep_config.state_dir)
		return 0;
	agent->keep = keep__new(agent->loop, &agent->keep_config);
	return agent->keep ? 0 : -ECANCELED;
}

static int set_up(struct agent *agent)
{
	struct drain_config drain = {
		.probe = agent->probe, .round = on_round, .event = on_event, .ctx = agent
	};
	sigset_t signals;
	int err;

	agent->loop = loop__new();
	if (!agent->loop)
		return -ENOMEM;
	agent->tick = loop_timer__new(agent->loop, on_tick, agent);
	err = agent->tick ? set_up_out(agent) : -ENOMEM;
	if (!err)
		err = set_up_runtimes(agent);
	if (!err)
		err = set_up_whose(agent);
	if (!err)
		err = set_up_stages(agent);
	/* before the ring is read: what ran before the attach has made no event */
	if (!err)
		err = container_table__scan(agent->containers);
	if (err)
		return err;
	drain.pipeline = agent->pipeline;
	agent->drain = drain__new(agent->loop, &drain, &err);
	if (agent->drain)
		err = rights__drop();
	if (!err) /* it starts threads, which have what this one has */
		err = set_up_view(agent);
	if (err)
		return err;
	ground__say(agent->probe);
	on_tick(agent, loop__now(agent->loop));
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	return loop__signals(agent->loop, &signals, on_signal, agent);
}

static void tear_down(struct agent *agent)
{
	drain__free(agent->drain);
	keep__free(agent->keep);
	overview__free(agent->overview);
	publish__free(agent->publish);
	metadata__free(agent->metadata);
	connection__free(agent->connection);
	shipper__free(agent->shipper);
	pipeline__free(agent->pipeline);
	container_table__free(agent->containers);
	runtime_table__free(agent->runtimes);
	loop_timer__free(agent->runtime_tick);
	hold__free(agent->hold);
	node__free(agent->node);
	replica_table__free(agent->replicas);
	probe__free(agent->probe);
	cgroup_tree__close(&agent->tree);
	loop_timer__free(agent->tick);
	loop__free(agent->loop);
}

/* Each function that is attached to takes a descriptor, and 1024 are usual. */
static void raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE,
			&files); /* fewer runtimes are followed, and status says so */
}

int agent__run(const struct agent_config *config)
{
	struct agent agent = { .config = config, .tree = { .fd = -1 } };
	int err;

	signal(SIGPIPE, SIG_IGN);
	raise_files();
	if (ground__find(&config->probe, &agent.tree, &agent.probe)) {
		tear_down(&agent);
		return EXIT_CANNOT;
	}
	err = set_up(&agent);
	if (err)
		log_error("cannot start: %s", strerror(-err));
	else
		log_info("capturing %u containers",
			 container_table__stats(agent.containers)->count);
	if (!err)
		err = loop__run(agent.loop);
	tear_down(&agent);
	return err ? EXIT_FAILED : EXIT_DONE;
}
