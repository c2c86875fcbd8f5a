/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "agent/command.h"
#include "agent/kube_watch.h"
#include "agent/lease.h"
#include "agent/log.h"
#include "agent/scaling.h"
#include "agent/shipper.h"

#define PODS_MAX 32768
#define UNTOLD_MAX 64
#define UNTOLD_TEXT 400
#define FINAL_SEND_NS 5000000000ULL

/* What one who does not lead would have told: the leader may be gone already. */
struct untold {
	uint64_t at_ns;
	enum severity severity;
	struct identity identity;
	char text[UNTOLD_TEXT];
};

struct events {
	const struct events_config *config;
	struct loop *loop;
	struct kube_http *http;
	struct kube_watch *pod_watch, *event_watch;
	struct pod_table *pods;
	struct scaling *scaling;
	struct lease *lease;
	struct shipper *shipper;
	struct connection *connection;
	bool listing;    /* what is listed first happened before */
	int64_t told_ns; /* the newest event that was looked at */
	uint64_t mark;
	struct untold untold[UNTOLD_MAX]; /* the oldest is overwritten */
	unsigned untold_count;
};

static void on_say(void *ctx, const char *line)
{
	log_warn("%s", line);
}

static void on_durable(void *ctx, uint64_t mark)
{
}

static void on_destination(void *ctx, const struct destination *destination, const char *problem)
{
	struct events *events = ctx;

	if (problem)
		log_warn("%s", problem);
	if (shipper__set_destination(events->shipper, destination))
		log_error("out of memory: the destination is as before");
}

static void on_pod(void *ctx, const struct pod *before, const struct pod *now)
{
	struct events *events = ctx;

	scaling__pod(events->scaling, before, now);
}

static void export(struct events *events, const struct replica *replica, enum severity severity,
		   const char *text)
{
	deploy__record(replica, severity, text, shipper__record, events->shipper);
	shipper__mark(events->shipper, ++events->mark);
}

static void remember(struct events *events, const struct replica *replica, enum severity severity,
		     const char *text)
{
	struct untold *untold = &events->untold[events->untold_count++ % UNTOLD_MAX];
	struct replica copy = *replica;

	untold->at_ns = loop__now(events->loop);
	untold->severity = severity;
	snprintf(untold->text, sizeof(untold->text), "%s", text);
	for (int m = 0; m < IDENTITY_MEMBERS; m++)
		identity__set(&untold->identity, m, identity__member(&copy, m)->data,
			      identity__member(&copy, m)->len);
}

static void tell(void *ctx, const struct replica *replica, enum severity severity, const char *text)
{
	struct events *events = ctx;

	if (lease__leads(events->lease))
		export(events, replica, severity, text);
	else
		remember(events, replica, severity, text);
}

/* What came since the leader before was last heard of is told again rather than not at all. */
static void catch_up(struct events *events)
{
	unsigned count = events->untold_count;

	for (unsigned i = count > UNTOLD_MAX ? count - UNTOLD_MAX : 0; i < count; i++) {
		struct untold *untold = &events->untold[i % UNTOLD_MAX];
		struct replica replica = { 0 };

		for (int m = 0; m < IDENTITY_MEMBERS; m++)
			*identity__member(&replica, m) = str_from(untold->identity.text[m]);
		if (untold->at_ns >= lease__vacant_ns(events->lease))
			export(events, &replica, untold->severity, untold->text);
		identity__clear(&untold->identity);
	}
	events->untold_count = 0;
}

static void on_leads(void *ctx, bool leads)
{
	log_info(leads ? "leads: tells what happens to deployments" : "does not lead any more");
	if (leads)
		catch_up(ctx);
}

static void on_pod_change(void *ctx, struct kube_change *change)
{
	struct events *events = ctx;

	kube_event__free(change->event);
	if (!change->pod)
		return;
	if (change->type == KUBE_PUT) {
		pod_table__put(events->pods, change->pod);
		return;
	}
	pod_table__remove(events->pods, change->pod->uid);
	pod__free(change->pod);
}

static void ignore(void *ctx, const struct replica *replica, enum severity severity,
		   const char *text)
{
}

/* A list may repeat what was told; what happened before the first one is only remembered. */
static void on_event_change(void *ctx, struct kube_change *change)
{
	struct events *events = ctx;
	struct kube_event *event = change->event;

	pod__free(change->pod);
	if (!event)
		return;
	if (change->type == KUBE_PUT && (!events->listing || event->time_ns > events->told_ns)) {
		bool first = events->listing && !events->told_ns;

		scaling__event(events->scaling, event, first ? ignore : tell, events);
	}
	kube_event__free(event);
}

static void pods_begin(void *ctx)
{
	pod_table__list_begin(((struct events *)ctx)->pods);
}

static void pods_end(void *ctx)
{
	pod_table__list_end(((struct events *)ctx)->pods);
}

static void events_begin(void *ctx)
{
	((struct events *)ctx)->listing = true;
}

static void events_end(void *ctx)
{
	struct events *events = ctx;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	events->listing = false;
	events->told_ns = now.tv_sec * 1000000000LL;
}

static void on_sent(void *ctx, uint64_t records_left)
{
	struct events *events = ctx;

	if (records_left)
		log_warn("%llu records could not be sent", (unsigned long long)records_left);
	loop__stop(events->loop);
}

static void on_released(void *ctx)
{
	struct events *events = ctx;

	shipper__drain(events->shipper, loop__now(events->loop) + FINAL_SEND_NS, on_sent, events);
}

static void on_signal(void *ctx, int signal)
{
	struct events *events = ctx;

	lease__release(events->lease, on_released, events);
}

static int set_up_out(struct events *events)
{
	struct shipper_config shipper = {
		.outbox = { .dir = events->config->connection.state_dir },
		.durable = on_durable,
		.say = on_say,
		.ctx = events,
	};

	events->shipper = shipper__new(events->loop, &shipper);
	if (!events->shipper)
		return -ENOMEM;
	events->connection =
		connection__new(events->loop, &events->config->connection, on_destination, events);
	return events->connection ? 0 : -ENOMEM;
}

static int set_up_watches(struct events *events)
{
	struct kube_watch_config watch = {
		.api = events->http,
		.resource = "/api/v1/pods",
		.query = "",
		.rules = &events->config->rules,
		.list_begin = pods_begin,
		.list_end = pods_end,
		.change = on_pod_change,
		.say = on_say,
		.ctx = events,
	};

	events->scaling = scaling__new();
	events->pods = pod_table__new(PODS_MAX, on_pod, events);
	if (!events->scaling || !events->pods)
		return -ENOMEM;
	events->pod_watch = kube_watch__new(events->loop, &watch);
	watch.resource = "/api/v1/events";
	watch.list_begin = events_begin;
	watch.list_end = events_end;
	watch.change = on_event_change;
	events->event_watch = kube_watch__new(events->loop, &watch);
	return events->pod_watch && events->event_watch ? 0 : -ENOMEM;
}

static int set_up(struct events *events)
{
	struct lease_config lease = {
		.space = events->config->lease_space,
		.name = events->config->lease_name,
		.holder = events->config->lease_holder,
		.duration_s = events->config->lease_duration_s,
		.changed = on_leads,
		.say = on_say,
		.ctx = events,
	};
	sigset_t signals;
	int err;

	events->loop = loop__new();
	if (!events->loop)
		return -ENOMEM;
	events->http = lease.http = kube_http__new(events->loop, &events->config->http);
	err = events->http ? set_up_out(events) : -ENOMEM;
	if (!err)
		err = set_up_watches(events);
	if (err)
		return err;
	events->lease = lease__new(events->loop, &lease);
	if (!events->lease)
		return -ENOMEM;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	return loop__signals(events->loop, &signals, on_signal, events);
}

static void tear_down(struct events *events)
{
	lease__free(events->lease);
	kube_watch__free(events->pod_watch);
	kube_watch__free(events->event_watch);
	kube_http__free(events->http);
	connection__free(events->connection);
	shipper__free(events->shipper);
	pod_table__free(events->pods);
	scaling__free(events->scaling);
	for (unsigned i = 0; i < UNTOLD_MAX; i++)
		identity__clear(&events->untold[i].identity);
	loop__free(events->loop);
}

int events__run(const struct events_config *config)
{
	struct events events = { .config = config };
	int err;

	signal(SIGPIPE, SIG_IGN);
	err = set_up(&events);
	if (err)
		log_error("cannot start: %s", strerror(-err));
	else
		err = loop__run(events.loop);
	tear_down(&events);
	return err ? EXIT_FAILED : EXIT_DONE;
}
