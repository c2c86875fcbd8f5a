/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flood REQTAP SECONDS RATE: eight processes write RATE lines of 200 bytes a second together, for
 * SECONDS, captured by REQTAP run. Every line must come out once, but those that its records say
 * are lost. Says the rate that was reached: writers share the machine with the capture. TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WRITERS 8
#define SIZE 200
#define BATCH 32      /* lines between two looks at the clock */
#define SHARED_FD 100 /* of struct shared, through reqtap run */

struct shared {
	uint64_t written[WRITERS];
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static struct shared *map_shared(void)
{
	void *shared =
		mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);

	return shared == MAP_FAILED ? NULL : shared;
}

/* ---- the writers */

static int write_lines(unsigned writer, double rate, double time, uint64_t *written)
{
	double start = seconds(), now = start;
	char line[SIZE + 1];

	while (now - start < time) {
		for (int i = 0; i < BATCH; i++) {
			int len = snprintf(line, sizeof(line), "flood %u %010llu ", writer,
					   (unsigned long long)*written);

			memset(line + len, 'x', SIZE - 1 - len);
			line[SIZE - 1] = '\n';
			if (write(STDOUT_FILENO, line, SIZE) != SIZE)
				return 1;
			++*written;
		}
		while ((now = seconds()) - start < *written / rate)
			usleep(200);
	}
	return 0;
}

static int writers(double time, double rate)
{
	struct shared *shared = map_shared();
	int status, bad = !shared;

	for (unsigned i = 0; i < WRITERS && shared; i++)
		if (fork() == 0)
			_exit(write_lines(i, rate / WRITERS, time, &shared->written[i]));
	while (wait(&status) > 0)
		bad |= status;
	return bad != 0;
}

/* ---- the reader of the records */

struct tally {
	uint64_t next[WRITERS]; /* the number that should come next */
	uint64_t seen, missing, again, told;
};

/* One record: its message is a line of a writer, or says what was lost. */
static void record(struct tally *tally, const char *json)
{
	static const char prefix[] = "\"message\":\"";
	const char *message = strstr(json, prefix);
	unsigned long long number, bytes, writes;
	unsigned writer;

	if (!message)
		return;
	message += strlen(prefix);
	if (sscanf(message, "reqtap: %llu bytes of %llu writes lost", &bytes, &writes) == 2)
		tally->told += writes;
	if (sscanf(message, "flood %u %llu ", &writer, &number) != 2 || writer >= WRITERS)
		return;
	tally->seen++;
	if (number < tally->next[writer]) {
		tally->again++;
		return;
	}
	tally->missing += number - tally->next[writer];
	tally->next[writer] = number + 1;
}

static pid_t start(const char *reqtap, const char *time, const char *rate, int *ret_out)
{
	char self[4096] = "";
	int out[2];
	pid_t pid;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 || pipe2(out, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		execl(reqtap, "reqtap", "run", "--output", "json", "--", self, "--writers", time,
		      rate, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	*ret_out = out[0];
	return pid;
}

static int judge(struct tally *tally, const struct shared *shared, double took, int status)
{
	uint64_t written = 0;
	bool ok;

	for (int i = 0; i < WRITERS; i++) {
		written += shared->written[i];
		tally->missing += shared->written[i] - tally->next[i];
	}
	ok = status == 0 && written && !tally->again && tally->missing == tally->told;
	printf("%s 1 - %llu lines of %d writers, %.0f a second: %llu missing, %llu told, %llu "
	       "twice\n",
	       ok ? "ok" : "not ok", (unsigned long long)written, WRITERS, written / took,
	       (unsigned long long)tally->missing, (unsigned long long)tally->told,
	       (unsigned long long)tally->again);
	return !ok;
}

int main(int argc, char **argv)
{
	struct tally tally = { .seen = 0 };
	int memory, out = -1, status = -1;
	struct shared *shared;
	char *json = NULL;
	size_t size = 0;
	FILE *records;

	if (argc == 4 && strcmp(argv[1], "--writers") == 0)
		return writers(atof(argv[2]), atof(argv[3]));
	if (argc != 4) {
		fprintf(stderr, "usage: flood REQTAP SECONDS RATE\n");
		return 2;
	}
	memory = memfd_create("flood", 0);
	if (memory < 0 || dup2(memory, SHARED_FD) < 0 || ftruncate(memory, sizeof(*shared)))
		return 1;
	shared = map_shared();
	if (!shared || start(argv[1], argv[2], argv[3], &out) < 0)
		return 1;
	records = fdopen(out, "r");
	while (records && getline(&json, &size, records) > 0)
		record(&tally, json);
	wait(&status);
	free(json);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		printf("ok 1 - flood # SKIP capture does not work here\n");
		return 0;
	}
	return judge(&tally, shared, atof(argv[2]), status);
}
