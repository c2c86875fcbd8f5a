/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pins PLAN: what is pinned outlives its process. A writer writes numbered lines; one reader after
 * another loads the kernel side with the same pin directory, reads some of the ring and is killed,
 * some while they start. Every number must have been read, and none twice but those that a reader
 * had read and not yet released. TAP.
 *
 * pins PLAN handover: the readers end by themselves instead, and the writer writes as much
 * as the ring takes while one set of programs takes over from another: no number is lost, and none
 * is read twice.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "agent/pin.h"
#include "agent/probe.h"

#define READERS 6
#define HANDOVERS 8
#define LINES_MAX (1 << 20)
#define UNREAD_MAX 100000 /* lines; a third of the ring */
#define START_S 120       /* of a reader, under emulation */
#define SHARED_FD 100
#define EXIT_SKIP 77

/* Shared by all processes, also the writer, which is executed. */
struct shared {
	volatile uint32_t written;
	volatile uint32_t read;    /* fragments, in all */
	volatile uint32_t ready;   /* readers that have begun */
	volatile uint32_t pending; /* lines read and not released */
	volatile bool stop;        /* the writer */
	volatile bool hurry;       /* the writer */
	volatile bool finish;      /* a reader, at the end of the ring */
	volatile bool ends;        /* what is attached ends with its process here */
	volatile uint8_t seen[LINES_MAX];
};

static struct shared *shared;
static struct probe_config config = { .verbose = 0 };

static void sleep_ms(unsigned ms)
{
	usleep(ms * 1000);
}

static bool map_shared(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
	return shared != MAP_FAILED;
}

static int write_lines(void)
{
	char line[32];

	for (uint32_t i = 0; i < LINES_MAX && !shared->stop; i++) {
		int len = snprintf(line, sizeof(line), "%u\n", i);

		if (write(STDOUT_FILENO, line, len) != len)
			return 1;
		shared->written = i + 1;
		/* not more than the ring takes, however long a reader needs to start */
		if (i % (shared->hurry && (int)(i - shared->read) < UNREAD_MAX ? 64 : 4) == 0)
			sleep_ms(1);
		while ((int)(i - shared->read) > 2 * UNREAD_MAX && !shared->stop)
			sleep_ms(1);
	}
	return 0;
}

/* Waits for a byte from `go`, and is executed then: so its stdout becomes a stream. */
static pid_t start_writer(int go)
{
	int out[2];
	char byte, discarded[4096];
	pid_t child;

	if (pipe(out) || (child = fork()) < 0)
		return -1;
	if (!child) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		if (read(go, &byte, 1) == 1)
			execl("/proc/self/exe", "pins", "write", NULL);
		_exit(127);
	}
	close(out[1]);
	if (!fork()) { /* empties the pipe */
		while (read(out[0], discarded, sizeof(discarded)) > 0)
			;
		_exit(0);
	}
	close(out[0]);
	return child;
}

static void count_line(const struct event *event)
{
	const struct event_fragment *f = (const void *)event;
	unsigned long number;

	if (event->kind != RT_EVENT_FRAGMENT)
		return;
	number = strtoul(f->data, NULL, 10);
	if (number >= LINES_MAX)
		return;
	shared->pending++;
	shared->read++;
	if (shared->seen[number] < UINT8_MAX)
		shared->seen[number]++;
}

static void read_ring(struct probe *probe)
{
	struct ring *ring = probe__ring(probe);
	const struct event *event;
	size_t len;

	while ((event = ring__read(ring, &len)))
		count_line(event);
	probe__release(probe, ring__position(ring), ring__position(ring));
	shared->pending = 0;
}

/* `follow`: the writer, not yet executed; 0: it is in the maps already. */
static int read_until_killed(pid_t follow)
{
	struct probe *probe;
	const char *why_not;
	char *problem;
	int err;

	probe = probe__new(&config, &err, &problem);
	if (!probe) {
		printf("# %s\n", problem ? problem : strerror(-err));
		return err == -EPERM && follow ? EXIT_SKIP : 1;
	}
	if ((follow && probe__follow(probe, follow)) || probe__begin(probe))
		return 1;
	if (!probe__outlives(probe, &why_not))
		shared->ends = true;
	shared->ready++;
	for (;;) {
		bool finish = shared->finish;

		read_ring(probe);
		if (finish)
			return 0;
		sleep_ms(5);
	}
}

static pid_t start_reader(pid_t follow)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child) {
		int status = read_until_killed(follow);

		fflush(stdout);
		_exit(status);
	}
	return child;
}

/* The status of a reader that ended instead of beginning; -1: it has begun; -2: it hangs. */
static int wait_ready(pid_t reader, uint32_t ready)
{
	int status;

	for (unsigned i = 0; i < START_S * 50; i++) {
		if (shared->ready > ready)
			return -1;
		if (waitpid(reader, &status, WNOHANG) == reader)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		sleep_ms(20);
	}
	return -2;
}

/* Returns how many lines its death may double. */
static uint32_t kill_reader(pid_t reader)
{
	kill(reader, SIGKILL);
	waitpid(reader, NULL, 0);
	return shared->pending;
}

/* Stops the writer, and has the reader end at the end of the ring. Returns its status. */
static int end_all(pid_t reader, pid_t writer)
{
	int status;

	shared->stop = true;
	waitpid(writer, NULL, 0);
	shared->finish = true;
	waitpid(reader, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* One after the other; each takes over from the one before, which has ended. */
static int hand_over(pid_t reader, pid_t writer)
{
	uint32_t ready;
	int status;

	for (unsigned i = 0; i < HANDOVERS; i++) {
		shared->finish = true;
		waitpid(reader, &status, 0);
		shared->finish = false;
		ready = shared->ready;
		shared->hurry = true;
		reader = start_reader(0);
		status = wait_ready(reader, ready);
		shared->hurry = false;
		if (status != -1)
			return status;
	}
	return end_all(reader, writer);
}

/* One after the other; the last reads to the end. Returns its status, *ret_doubled the allowance.
 */
static int run_readers(pid_t reader, pid_t writer, uint32_t *ret_doubled)
{
	uint32_t ready;
	int status;

	for (unsigned i = 0; i < READERS; i++) {
		sleep_ms(rand() % 200);
		*ret_doubled += kill_reader(reader);
		shared->pending = 0;
		sleep_ms(rand() % 200);
		ready = shared->ready;
		reader = start_reader(0);
		if (i % 3 == 1) /* killed while it starts */
			continue;
		status = wait_ready(reader, ready);
		if (status != -1)
			return status;
	}
	return end_all(reader, writer);
}

static int verdict(const char *plan, const char *what, uint32_t allowed)
{
	uint32_t lost = 0, doubled = 0, first = UINT32_MAX;

	for (uint32_t i = 0; i < shared->written; i++) {
		doubled += shared->seen[i] > 1 ? shared->seen[i] - 1 : 0;
		lost += !shared->seen[i];
		if (!shared->seen[i] && first == UINT32_MAX)
			first = i;
	}
	printf("# %u lines, %u lost (first %d), %u doubled of at most %u\n", shared->written, lost,
	       (int)first, doubled, allowed);
	if (shared->ends) {
		printf("ok 1 - %s plan # SKIP attachments end with their process before 5.15\n",
		       plan);
		return 0;
	}
	printf("%s 1 - %s plan: %s\n",
	       lost || doubled > allowed || !shared->written ? "not ok" : "ok", plan, what);
	return lost || doubled > allowed || !shared->written;
}

int main(int argc, char **argv)
{
	const char *plan = argc > 1 ? argv[1] : "syscall";
	bool killed = argc < 3;
	int go[2], fd, status = 1;
	uint32_t doubled = 0;
	pid_t writer, reader;
	char dir[64];

	if (!strcmp(plan, "write"))
		return map_shared() ? write_lines() : 1;
	fd = memfd_create("pins", 0);
	if (fd < 0 || ftruncate(fd, sizeof(*shared)) || dup2(fd, SHARED_FD) < 0 || !map_shared() ||
	    pipe(go))
		return 1;
	snprintf(dir, sizeof(dir), "/sys/fs/bpf/reqtap-pins-%d", getpid());
	config.pin_dir = dir;
	config.plan = !strcmp(plan, "fentry") ? PROBE_PLAN_FENTRY : PROBE_PLAN_SYSCALL;
	srand(time(NULL));
	printf("1..1\n");
	writer = start_writer(go[0]);
	reader = start_reader(writer);
	status = wait_ready(reader, 0);
	if (status == -1 && write(go[1], "g", 1) == 1)
		status = killed ? run_readers(reader, writer, &doubled) : hand_over(reader, writer);
	else
		kill(writer, SIGKILL);
	pin__unpin(dir);
	if (status == EXIT_SKIP)
		printf("ok 1 - %s plan # SKIP the kernel refuses it\n", plan);
	else if (status)
		printf("not ok 1 - %s plan: a reader ended with %d\n", plan, status);
	else
		status = verdict(plan,
				 killed ? "what is pinned outlives kills"
					: "a hand-over captures each write once",
				 doubled);
	return status && status != EXIT_SKIP;
}
