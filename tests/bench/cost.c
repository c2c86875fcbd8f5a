/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cost PLAN PAIRS: what capture adds to system calls, in nanoseconds. Prints a JSON object a row:
 *
 *   {"row": "write", "who": "target", "bytes": 200, "writers": 1,
 *    "plain_ns": […], "captured_ns": […], "events": N, "lost": N}
 *
 * Plain and captured rounds alternate, PAIRS of each: between them the kernel side is loaded and
 * taken out again. One figure is the median over short runs of calls: what interrupts one, on a
 * machine that does other work too, is not in it. Writers share one pipe,
 * which another process reads as a container's runtime does. "other" calls are those of a process
 * that is no target. Linked with the loader alone, so that a guest runs it too.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "agent/probe.h"

#define BLOCKS 9
#define COUNT_MAX 4096
#define RUN 16 /* calls that are timed together */
#define WRITERS 8
#define PAIRS_MAX 32
#define RING_BYTES (16 << 20)
#define BLOCK_BYTES (3 << 20) /* captured between two drains: far below the ring */

static const char request[] =
	"POST /v1/models/model:predict HTTP/1.1\r\nHost: model-abcd1234.api.example.com\r\n"
	"User-Agent: python-requests/2.31.0\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
	"Connection: keep-alive\r\nContent-Type: application/json\r\nAuthorization: Api-Key "
	"aaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\nX-Forwarded-For: 10.0.0.1\r\n"
	"x-baseten-request-id: 31255019cf83c4d0c7492a5006591e1f\r\nContent-Length: 2\r\n\r\n{}";
static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

struct job {
	char kind; /* w write to stdout, p getppid, z read /dev/zero, n write /dev/null, r request
		    */
	int bytes, count;
};

struct row {
	const char *name;
	char kind;
	bool target;
	int bytes, writers;
	double ns[2][PAIRS_MAX];
	uint64_t events, lost;
};

static struct row rows[] = {
	{ .name = "write", .kind = 'w', .target = true, .bytes = 20, .writers = 1 },
	{ .name = "write", .kind = 'w', .target = true, .bytes = 200, .writers = 1 },
	{ .name = "write", .kind = 'w', .target = true, .bytes = 2000, .writers = 1 },
	{ .name = "write", .kind = 'w', .target = true, .bytes = 60000, .writers = 1 },
	{ .name = "write", .kind = 'w', .target = true, .bytes = 200, .writers = WRITERS },
	{ .name = "receive a request", .kind = 'r', .target = true, .bytes = 0, .writers = 1 },
	{ .name = "getppid", .kind = 'p', .bytes = 0, .writers = 1 },
	{ .name = "read /dev/zero", .kind = 'z', .bytes = 1, .writers = 1 },
	{ .name = "write /dev/null", .kind = 'n', .bytes = 200, .writers = 1 },
	{ .name = "read /dev/zero", .kind = 'z', .target = true, .bytes = 1, .writers = 1 },
	{ .name = "write /dev/null", .kind = 'n', .target = true, .bytes = 200, .writers = 1 },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

struct worker {
	pid_t pid;
	int fd; /* jobs go out, nanoseconds a call come back */
};

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

/* Both ends of an accepted connection. */
static int connection(int ret[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), err;

	ret[1] = socket(AF_INET, SOCK_STREAM, 0);
	err = bind(listener, (void *)&address, size) || listen(listener, 1) ||
	      getsockname(listener, (void *)&address, &size) ||
	      connect(ret[1], (void *)&address, size);
	ret[0] = err ? -1 : accept(listener, NULL, NULL);
	close(listener);
	return ret[0] < 0 ? -1 : 0;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, int count)
{
	qsort(values, count, sizeof(values[0]), by_size);
	return values[count / 2];
}

/* Only the receiving is timed. */
static double requests(int count)
{
	static double ns[COUNT_MAX];
	char got[1024];
	int ends[2];

	if (connection(ends))
		return -1;
	for (int i = 0; i < count; i++) {
		double start;

		if (write(ends[1], request, sizeof(request) - 1) != sizeof(request) - 1)
			return -1;
		start = now_ns();
		if (read(ends[0], got, sizeof(got)) != sizeof(request) - 1)
			return -1;
		ns[i] = now_ns() - start;
		if (write(ends[0], response, sizeof(response) - 1) != sizeof(response) - 1 ||
		    read(ends[1], got, sizeof(got)) != sizeof(response) - 1)
			return -1;
	}
	close(ends[0]);
	close(ends[1]);
	return median(ns, count);
}

static double calls(const struct job *job, const char *data)
{
	int fd = job->kind == 'w'   ? STDOUT_FILENO
		 : job->kind == 'z' ? open("/dev/zero", O_RDONLY)
				    : open("/dev/null", O_WRONLY);
	static double ns[COUNT_MAX / RUN];
	char byte;
	int runs;

	for (runs = 0; runs < job->count / RUN; runs++) {
		double start = now_ns();

		for (int i = 0; i < RUN; i++)
			if (job->kind == 'p')
				syscall(SYS_getppid);
			else if (job->kind == 'z' ? read(fd, &byte, 1) != 1
						  : write(fd, data, job->bytes) != job->bytes)
				return -1;
		ns[runs] = (now_ns() - start) / RUN;
	}
	if (fd != STDOUT_FILENO)
		close(fd);
	return median(ns, runs);
}

static void work(int fd)
{
	static char data[60000];
	struct job job;

	memset(data, 'x', sizeof(data));
	data[sizeof(data) - 1] = '\n';
	while (read(fd, &job, sizeof(job)) == sizeof(job)) {
		double ns = job.kind == 'r' ? requests(job.count)
					    : calls(&job, data + sizeof(data) - job.bytes);

		if (write(fd, &ns, sizeof(ns)) != sizeof(ns))
			break;
	}
	_exit(0);
}

static int start_worker(struct worker *worker, int out)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -1;
	worker->fd = fds[1];
	worker->pid = fork();
	if (!worker->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out, STDOUT_FILENO);
		close(out);
		close(fds[1]);
		work(fds[0]);
	}
	close(fds[0]);
	return worker->pid < 0 ? -1 : 0;
}

/* As a runtime's shim does: reads what comes, and forgets it. */
static void start_reader(const int pipe[2])
{
	static char data[32768];

	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(pipe[1]);
	while (read(pipe[0], data, sizeof(data)) > 0)
		;
	_exit(0);
}

static void drain(struct probe *probe, struct row *row)
{
	struct ring *ring = probe__ring(probe);
	const struct event *event;
	size_t len;

	while ((event = ring__read(ring, &len)))
		row->events += event->kind == RT_EVENT_FRAGMENT || event->kind == RT_EVENT_REQUEST;
	ring__release(ring, ring__position(ring));
}

static double block(const struct row *row, const struct worker *workers, int count)
{
	struct job job = { row->kind, row->bytes, count / row->writers };
	double sum = 0, ns;

	for (int i = 0; i < row->writers; i++)
		if (write(workers[i].fd, &job, sizeof(job)) != sizeof(job))
			return -1;
	for (int i = 0; i < row->writers; i++) {
		if (read(workers[i].fd, &ns, sizeof(ns)) != sizeof(ns) || ns < 0)
			return -1;
		sum += ns;
	}
	return sum / row->writers;
}

static int measure(struct row *row, const struct worker *workers, struct probe *probe, int pair)
{
	int chunks = row->bytes / RT_CHUNK_MAX + 1, most = row->kind == 'r' ? 512 : COUNT_MAX;
	int count = BLOCK_BYTES / (row->bytes + 600) / chunks;
	double ns[BLOCKS];

	count = count > most ? most : count < RUN ? RUN : count;
	for (int i = -1; i < BLOCKS; i++) { /* the first one warms up */
		double one = block(row, workers, count);

		if (one < 0)
			return -1;
		if (i >= 0)
			ns[i] = one;
		if (probe)
			drain(probe, row);
	}
	row->ns[probe != NULL][pair] = median(ns, BLOCKS);
	return 0;
}

static struct probe *capture(enum probe_plan plan, const struct worker *workers, int pipe)
{
	static const char *const headers[] = { "x-baseten-request-id", NULL };
	struct probe_config config = { .plan = plan, .ring_bytes = RING_BYTES, .headers = headers };
	struct stream stream = { .container = RT_CONTAINER_RUN, .kind = RT_STREAM_STDOUT };
	char *problem = NULL;
	struct stat st;
	int err;
	struct probe *probe = probe__new(&config, &err, &problem);

	if (!probe) {
		fprintf(stderr, "cost: %s\n", problem ? problem : strerror(-err));
		exit(err == -EPERM ? 77 : 1);
	}
	for (int i = 0; i < WRITERS; i++)
		if (probe__follow(probe, workers[i].pid))
			exit(1);
	if (fstat(pipe, &st) || probe__stream_set(probe, st.st_ino, st.st_dev, &stream) ||
	    probe__begin(probe))
		exit(1);
	return probe;
}

static uint64_t losses(struct probe *probe)
{
	uint64_t counters[RT_COUNTERS] = { 0 };

	probe__counters(probe, counters);
	return counters[RT_LOST_RING] + counters[RT_LOST_FAULT] + counters[RT_LOST_INFLIGHT] +
	       counters[RT_LOST_EVENT];
}

static void print_list(const char *name, const double *values, int count)
{
	printf(", \"%s\": [", name);
	for (int i = 0; i < count; i++)
		printf("%s%.1f", i ? ", " : "", values[i]);
	printf("]");
}

int main(int argc, char **argv)
{
	struct worker targets[WRITERS], other;
	int pairs = argc == 3 ? atoi(argv[2]) : 0, out[2];
	enum probe_plan plan =
		argc == 3 && !strcmp(argv[1], "fentry") ? PROBE_PLAN_FENTRY : PROBE_PLAN_SYSCALL;

	if (pairs < 1 || pairs > PAIRS_MAX || pipe(out)) {
		fprintf(stderr, "usage: cost syscall|fentry PAIRS; up to %d\n", PAIRS_MAX);
		return 2;
	}
	start_reader(out);
	for (int i = 0; i < WRITERS; i++)
		if (start_worker(&targets[i], out[1]))
			return 1;
	if (start_worker(&other, out[1]))
		return 1;
	for (int pair = 0; pair < 2 * pairs; pair++) {
		struct probe *probe = pair % 2 ? capture(plan, targets, out[1]) : NULL;

		for (size_t i = 0; i < ROWS; i++) {
			uint64_t before = probe ? losses(probe) : 0;

			if (measure(&rows[i], rows[i].target ? targets : &other, probe, pair / 2))
				return 1;
			rows[i].lost += probe ? losses(probe) - before : 0;
		}
		probe__free(probe);
	}
	for (size_t i = 0; i < ROWS; i++) {
		printf("{\"row\": \"%s\", \"who\": \"%s\", \"bytes\": %d, \"writers\": %d",
		       rows[i].name, rows[i].target ? "target" : "other", rows[i].bytes,
		       rows[i].writers);
		print_list("plain_ns", rows[i].ns[0], pairs);
		print_list("captured_ns", rows[i].ns[1], pairs);
		printf(", \"events\": %llu, \"lost\": %llu}\n", (unsigned long long)rows[i].events,
		       (unsigned long long)rows[i].lost);
	}
	return 0;
}
