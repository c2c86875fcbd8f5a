/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls: what a system call costs that reqtap has no business with. Prints one line of
 * nanoseconds: getppid, read of /dev/zero, write to /dev/null.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CALLS 300000

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(void)
{
	int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
	char byte[1] = { 0 };
	double t0 = now(), t1, t2, t3;

	for (int i = 0; i < CALLS; i++)
		syscall(SYS_getppid);
	t1 = now();
	for (int i = 0; i < CALLS; i++)
		if (read(zero, byte, 1) != 1)
			return 1;
	t2 = now();
	for (int i = 0; i < CALLS; i++)
		if (write(null, byte, 1) != 1)
			return 1;
	t3 = now();
	printf("%.1f %.1f %.1f\n", (t1 - t0) / CALLS, (t2 - t1) / CALLS, (t3 - t2) / CALLS);
	return 0;
}
