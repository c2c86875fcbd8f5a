/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer: writes LINES numbered JSON lines of SIZE bytes to stdout, one write() each, and tells
 * REPORT how long one took and what CPU it cost.
 *   writer SIZE LINES REPORT [LINES_A_SECOND]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return use.ru_utime.tv_sec + use.ru_stime.tv_sec +
	       (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* The line's number has a fixed place, so that making it costs the same for each. */
static char *line_make(long size)
{
	char *line = malloc(size + 128);

	snprintf(line, 128, "{\"level\": \"INFO\", \"message\": \"%010d ", 0);
	size_t head = strlen(line);

	for (size_t i = head; i < (size_t)size; i++)
		line[i] = "abcdefghij klmnopqrst uvwxyz"[(i * 7) % 28];
	memcpy(line + size - 3, "\"}\n", 3);
	return line;
}

int main(int argc, char **argv)
{
	long size = argc > 3 ? atol(argv[1]) : 0, lines = argc > 3 ? atol(argv[2]) : 0;
	double rate = argc > 4 ? atof(argv[4]) : 0;
	char number[24], *line, *place;

	if (size < 64 || lines < 1) {
		fprintf(stderr, "usage: writer SIZE LINES REPORT [LINES_A_SECOND]; SIZE from 64\n");
		return 2;
	}
	line = line_make(size);
	place = strstr(line, "0000000000");
	double start = seconds(), cpu = cpu_seconds();

	for (long i = 0; i < lines; i++) {
		snprintf(number, sizeof(number), "%010ld", i);
		memcpy(place, number, 10);
		if (write(STDOUT_FILENO, line, size) != size)
			return 1;
		while (rate > 0 && i % 64 == 0 && seconds() - start < i / rate)
			usleep(200);
	}
	double took = seconds() - start;
	FILE *report = fopen(argv[3], "w");

	if (!report)
		return 1;
	fprintf(report, "%.9f %.6f %.6f\n", took / lines, took, cpu_seconds() - cpu);
	free(line);
	return fclose(report) ? 1 : 0;
}
