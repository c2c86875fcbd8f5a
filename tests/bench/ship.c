/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ship: numbered records through shipper, without a kernel side: faults of the receiver, the disk
 * and the agent's own death are tried with it, and the way out is measured.
 *
 *   ship [--state-dir DIR] [--secret-dir DIR] [--lines N] [--rate N] [--seconds S] [--first N]
 *        [--replicas N] [--outbox-bytes N] [--outbox-age-ms N] [--memory-bytes N]
 *        [--drain-ms N] [--acked FILE] [--history DIR]
 *
 * With --history the records are kept there too. At a --rate, with one replica, the report tells
 * how long records took from here to the receiver's answer.
 *
 * A line is "line N of replica R". FILE gets, 8 bytes in place, how many lines are durable: what
 * a ring would have released. A second run with --first of that number repeats the others, as the
 * ring does after a kill. Its last line is a JSON object of counters.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "agent/connection.h"
#include "agent/history.h"
#include "agent/shipper.h"

#define MS 1000000ULL
#define LATENCY_STEPS 20000 /* of 0.5 ms */
#define STEP_NS (MS / 2)

struct ship {
	struct loop *loop;
	struct loop_timer *timer;
	struct shipper *shipper;
	struct connection *connection;
	uint64_t lines, rate, first, replicas, drain_ms;
	uint64_t written;
	uint64_t begin_ns;
	uint64_t left;
	uint64_t *durable;
	bool draining;
	bool enabled;
	const char *history_dir;
	struct history *history;
	struct loop_timer *look;
	uint64_t sent; /* accepted when last looked */
	uint64_t latencies[LATENCY_STEPS];
};

static void say(void *ctx, const char *line)
{
	fprintf(stderr, "ship: %s\n", line);
}

static void durable(void *ctx, uint64_t position)
{
	struct ship *ship = ctx;

	if (ship->durable)
		*ship->durable = position;
}

static uint64_t unix_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void emit(struct ship *ship, uint64_t number)
{
	char text[256], name[16];
	uint64_t which = number % ship->replicas;
	int len =
		snprintf(text, sizeof(text), "line %" PRIu64 " of replica %" PRIu64, number, which);
	const struct replica replica = {
		.container = which + 100,
		.replica = { name, (size_t)snprintf(name, sizeof(name), "r%04u", (unsigned)which) },
		.model_id = STR("abcd1234"),
		.model_version_id = STR("v1234567"),
		.environment = STR("production"),
	};
	const struct record record = {
		.time_ns = unix_now(),
		.observed_ns = unix_now(),
		.severity = SEVERITY_INFO,
		.body = { text, (size_t)len },
		.message = { text, (size_t)len },
		.request_id = STR("31255019cf83c4d0c7492a5006591e1f502a5"),
		.replica = &replica,
	};

	shipper__record(ship->shipper, &record);
	if (ship->history)
		history__record(ship->history, &record);
}

/* One lane keeps its order, and a rate says when each record was due. */
static void look(void *ctx, uint64_t now_ns)
{
	struct ship *ship = ctx;
	struct shipper_stats stats;

	shipper__stats(ship->shipper, &stats);
	for (; ship->sent < stats.sent_records; ship->sent++) {
		uint64_t due_ns = ship->begin_ns + ship->sent * 1000000000 / ship->rate;
		uint64_t step = now_ns > due_ns ? (now_ns - due_ns) / STEP_NS : 0;

		ship->latencies[step < LATENCY_STEPS ? step : LATENCY_STEPS - 1]++;
	}
	loop_timer__set(ship->look, now_ns + STEP_NS);
}

static double latency_ms(const struct ship *ship, double part)
{
	uint64_t left = (uint64_t)((double)ship->sent * part);
	unsigned step = 0;

	while (step < LATENCY_STEPS - 1 && left >= ship->latencies[step])
		left -= ship->latencies[step++];
	return (double)(step + 1) * STEP_NS / MS;
}

static void drained(void *ctx, uint64_t left)
{
	struct ship *ship = ctx;

	ship->left = left;
	loop__stop(ship->loop);
}

static void write_lines(void *ctx, uint64_t now_ns)
{
	struct ship *ship = ctx;
	uint64_t due = ship->lines;

	if (!ship->enabled && ship->written == ship->first) {
		ship->begin_ns = now_ns;
		loop_timer__set(ship->timer, now_ns + 20 * MS);
		return;
	}
	if (ship->rate)
		due = ship->first + (now_ns - ship->begin_ns) * ship->rate / 1000000000;
	if (due > ship->written + 50000)
		due = ship->written + 50000;
	if (due > ship->lines)
		due = ship->lines;
	while (ship->written < due)
		emit(ship, ship->written++);
	shipper__mark(ship->shipper, ship->written);
	if (ship->written < ship->lines)
		loop_timer__set(ship->timer, ship->rate ? now_ns + 5 * MS : now_ns);
	else if (!ship->draining) {
		ship->draining = true;
		shipper__drain(ship->shipper, now_ns + ship->drain_ms * MS, drained, ship);
	}
}

static void connected(void *ctx, const struct destination *destination, const char *problem)
{
	struct ship *ship = ctx;

	if (problem)
		fprintf(stderr, "ship: %s\n", problem);
	ship->enabled = destination && destination->enabled;
	shipper__set_destination(ship->shipper, destination);
}

/* Not ru_maxrss: that begins with what the parent had before exec. */
static long rss_high_kib(void)
{
	FILE *in = fopen("/proc/self/status", "r");
	char line[256];
	long kib = 0;

	while (in && fgets(line, sizeof(line), in))
		if (sscanf(line, "VmHWM: %ld", &kib) == 1)
			break;
	if (in)
		fclose(in);
	return kib;
}

static void report(struct ship *ship)
{
	struct history_stats history = { 0 };
	struct shipper_stats stats;
	struct rusage usage;

	if (ship->history)
		history__stats(ship->history, &history);
	shipper__stats(ship->shipper, &stats);
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"records\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"refused\": %" PRIu64
	       ", \"rejected\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"dropped_full\": %" PRIu64
	       ", \"dropped_age\": %" PRIu64 ", \"dropped_removed\": %" PRIu64
	       ", \"waiting\": %" PRIu64 ", \"left\": %" PRIu64 ", \"set_aside\": %" PRIu64
	       ", \"disk_faults\": %" PRIu64 ", \"on_disk\": %s, \"retried\": %" PRIu64
	       ", \"requests\": %" PRIu64 ", \"history\": %" PRIu64 ", \"thinned\": %" PRIu64
	       ", \"p50_ms\": %.1f, \"p99_ms\": %.1f"
	       ", \"last_status\": %ld, \"cpu_s\": %.6f, \"rss_kib\": %ld}\n",
	       stats.records, stats.sent_records, stats.refused, stats.rejected, stats.lost_records,
	       stats.outbox->dropped_full, stats.outbox->dropped_age, stats.outbox->dropped_removed,
	       stats.outbox->records, ship->left, stats.outbox->set_aside,
	       stats.outbox->disk_faults, stats.outbox->on_disk ? "true" : "false",
	       stats.export ? stats.export->retried : 0, stats.export ? stats.export->requests : 0,
	       history.records, history.thinned, latency_ms(ship, 0.5), latency_ms(ship, 0.99),
	       stats.export ? stats.export->last_status : 0,
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
	       rss_high_kib());
}

static uint64_t *map_acked(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	void *data;

	if (fd < 0 || ftruncate(fd, 8) < 0)
		return NULL;
	data = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return data == MAP_FAILED ? NULL : data;
}

static int parse(int argc, char **argv, struct ship *ship, struct shipper_config *config,
		 struct connection_config *connection)
{
	struct {
		const char *name;
		uint64_t *number;
		const char **text;
	} options[] = {
		{ "--state-dir", NULL, &config->outbox.dir },
		{ "--secret-dir", NULL, &connection->secret_dir },
		{ "--history", NULL, &ship->history_dir },
		{ "--acked", NULL, NULL },
		{ "--lines", &ship->lines, NULL },
		{ "--rate", &ship->rate, NULL },
		{ "--first", &ship->first, NULL },
		{ "--replicas", &ship->replicas, NULL },
		{ "--drain-ms", &ship->drain_ms, NULL },
		{ "--outbox-bytes", &config->outbox.max_bytes, NULL },
		{ "--outbox-age-ms", &config->outbox.max_age_ns, NULL },
		{ "--memory-bytes", &config->outbox.memory_bytes, NULL },
	};

	for (int i = 1; i + 1 < argc; i += 2) {
		size_t j = 0, count = sizeof(options) / sizeof(options[0]);

		while (j < count && strcmp(options[j].name, argv[i]) != 0)
			j++;
		if (j == count)
			return -1;
		if (options[j].number)
			*options[j].number = strtoull(argv[i + 1], NULL, 10);
		else if (options[j].text)
			*options[j].text = argv[i + 1];
		else
			ship->durable = map_acked(argv[i + 1]);
	}
	config->outbox.max_age_ns *= MS;
	connection->state_dir = config->outbox.dir;
	return argc % 2 == 1 ? 0 : -1;
}

static void start_history(struct ship *ship)
{
	const struct history_config config = { .dir = ship->history_dir };
	int err;

	if (!config.dir)
		return;
	ship->history = history__new(ship->loop, &config, &err);
	if (!ship->history)
		fprintf(stderr, "ship: no history in %s: %s\n", config.dir, strerror(-err));
}

int main(int argc, char **argv)
{
	struct ship ship = { .lines = 1000, .replicas = 1, .drain_ms = 10000 };
	struct connection_config connection = { .use_env = true };
	struct shipper_config config = { .durable = durable, .say = say, .ctx = &ship };

	if (parse(argc, argv, &ship, &config, &connection) < 0) {
		fprintf(stderr, "ship: bad arguments; see tests/bench/ship.c\n");
		return 2;
	}
	secret__guard_process();
	ship.loop = loop__new();
	ship.timer = loop_timer__new(ship.loop, write_lines, &ship);
	ship.shipper = shipper__new(ship.loop, &config);
	start_history(&ship);
	ship.written = ship.first;
	ship.connection = connection__new(ship.loop, &connection, connected, &ship);
	ship.begin_ns = loop__now(ship.loop);
	shipper__mark(ship.shipper, ship.first);
	loop_timer__set(ship.timer, ship.begin_ns);
	if (ship.rate) {
		ship.look = loop_timer__new(ship.loop, look, &ship);
		loop_timer__set(ship.look, ship.begin_ns);
	}
	loop__run(ship.loop);
	report(&ship);
	connection__free(ship.connection);
	shipper__free(ship.shipper);
	history__free(ship.history);
	loop_timer__free(ship.look);
	loop_timer__free(ship.timer);
	loop__free(ship.loop);
	return 0;
}
