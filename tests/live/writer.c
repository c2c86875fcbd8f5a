/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer PLAN SEED WRITES [KIND]: processes and threads write at random to one stream; what its
 * reader got must be what the kernel side captured, byte for byte; where the ring was full, but for
 * as many bytes as are told. TAP, a line for each kind of stream.
 *
 * Each writer's bytes carry its number in the high half and a sequence in the low, so both sides
 * are told apart again by writer, whatever the order in which writers got the stream.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "agent/probe.h"

#define PROCESSES 4
#define THREADS 4
#define WRITERS (PROCESSES * THREADS)
#define WRITE_MAX (300 * 1024)
#define SEGMENTS 8
#define DEADLINE_S 240
#define READS 16 /* of the stream between two looks at the ring */

struct writer {
	unsigned number;
	unsigned seed;
	unsigned writes;
	unsigned sequence;
	int fds[3]; /* the stream itself, a duplicate, one reopened without blocking */
	int socket;
	char *data;
};

/* Small ones mostly, and the sizes where something changes. */
static size_t random_size(unsigned *seed)
{
	static const size_t edges[] = { 0,    1,    128,  129,   512,   2048,
					4095, 4096, 4097, 16384, 16385, 65536 };
	unsigned kind = rand_r(seed) % 1000;

	if (kind < 2)
		return rand_r(seed) % (WRITE_MAX + 1);
	if (kind < 60)
		return edges[rand_r(seed) % (sizeof(edges) / sizeof(edges[0]))];
	return rand_r(seed) % 400;
}

static void wait_writable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };

	poll(&poll_fd, 1, 1000);
}

static int cut(struct iovec *iov, const char *data, size_t len, unsigned *seed)
{
	int count = 1 + rand_r(seed) % SEGMENTS;

	for (int i = 0; i < count; i++) {
		size_t part = i == count - 1 ? len : rand_r(seed) % (len + 1);

		iov[i].iov_base = (char *)data;
		iov[i].iov_len = part;
		data += part;
		len -= part;
	}
	return count;
}

static ssize_t write_once(struct writer *w, int fd, const char *data, size_t len)
{
	struct iovec iov[SEGMENTS];
	struct msghdr message = { .msg_iov = iov };

	switch (rand_r(&w->seed) % 4) {
	case 0:
		return writev(fd, iov, cut(iov, data, len, &w->seed));
	case 1:
		return pwritev2(fd, iov, cut(iov, data, len, &w->seed), -1, 0);
	case 2:
		if (!w->socket)
			break;
		message.msg_iovlen = cut(iov, data, len, &w->seed);
		return sendmsg(fd, &message, 0);
	}
	return write(fd, data, len);
}

static void *writer_main(void *ctx)
{
	struct writer *w = ctx;

	for (unsigned i = 0; i < w->writes; i++) {
		size_t len = random_size(&w->seed), done = 0;

		for (size_t at = 0; at < len; at++)
			w->data[at] = w->number << 4 | (w->sequence++ * 7 >> 2 & 15);
		do {
			int fd = w->fds[rand_r(&w->seed) % 3];
			ssize_t wrote = write_once(w, fd, w->data + done, len - done);

			if (wrote < 0 && errno == EAGAIN)
				wait_writable(fd);
			else if (wrote < 0 && errno != EINTR)
				_exit(1);
			else if (wrote > 0)
				done += wrote;
		} while (done < len);
	}
	return NULL;
}

/* One writing process: its threads, then its end. */
static int process_main(unsigned process, unsigned seed, unsigned writes)
{
	static struct writer writers[THREADS];
	pthread_t threads[THREADS];
	int type, socket = 0;
	socklen_t size = sizeof(type);

	socket = getsockopt(1, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
	for (int i = 0; i < THREADS; i++) {
		unsigned number = process * THREADS + i;
		int again = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_APPEND | O_CLOEXEC);

		writers[i] = (struct writer){ .number = number,
					      .seed = seed * 31 + number,
					      .socket = socket,
					      .writes = writes / WRITERS,
					      .fds = { 1, dup(1), again < 0 ? 1 : again },
					      .data = malloc(WRITE_MAX) };
		if (!writers[i].data || pthread_create(&threads[i], NULL, writer_main, &writers[i]))
			return 1;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static int child_main(unsigned seed, unsigned writes)
{
	int status, bad = 0;

	for (unsigned i = 0; i < PROCESSES; i++)
		if (fork() == 0)
			_exit(process_main(i, seed, writes));
	while (wait(&status) > 0)
		bad |= status;
	return bad != 0;
}

/* What came through, by writer. */
struct tally {
	uint64_t bytes[WRITERS];
	uint64_t hash[WRITERS];
};

static void tally_add(struct tally *tally, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = data[i];

		tally->bytes[byte >> 4]++;
		tally->hash[byte >> 4] = (tally->hash[byte >> 4] ^ byte) * 0x100000001b3;
	}
}

struct kind {
	const char *name;
	int (*open)(int *ret_read, int *ret_write);
};

static int open_pipe(int *ret_read, int *ret_write)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	*ret_read = fds[0];
	*ret_write = fds[1];
	return 0;
}

static int open_socket(int *ret_read, int *ret_write)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	*ret_read = fds[0];
	*ret_write = fds[1];
	return 0;
}

static int open_tty(int *ret_read, int *ret_write)
{
	struct termios raw;

	if (openpty(ret_read, ret_write, NULL, NULL, NULL) || tcgetattr(*ret_write, &raw))
		return -errno;
	cfmakeraw(&raw);
	return tcsetattr(*ret_write, TCSANOW, &raw) ? -errno : 0;
}

static int open_file(int *ret_read, int *ret_write)
{
	char path[] = "/tmp/reqtap-writer-XXXXXX";

	*ret_write = mkostemp(path, O_APPEND | O_CLOEXEC);
	*ret_read = *ret_write < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	unlink(path);
	return *ret_read < 0 ? -errno : 0;
}

static const struct kind kinds[] = { { "pipe", open_pipe },
				     { "unix socket", open_socket },
				     { "terminal", open_tty },
				     { "file", open_file } };

static void drain_ring(struct ring *ring, struct tally *tally, unsigned *ret_faults)
{
	const struct event *event;
	size_t len;

	while ((event = ring__read(ring, &len))) {
		const struct event_fragment *f = (const void *)event;

		if (event->kind == RT_EVENT_FRAGMENT && !(f->flags & RT_FRAGMENT_ORIGIN))
			tally_add(tally, f->data, f->len);
		if (event->kind == RT_EVENT_FRAGMENT && (f->stream != RT_STREAM_STDOUT || !f->len))
			++*ret_faults;
	}
	ring__release(ring, ring__position(ring));
}

static pid_t start_child(const struct kind *kind, unsigned seed, unsigned writes, int *ret_gate,
			 int *ret_read)
{
	char self[] = "/proc/self/exe", seed_text[16], writes_text[16];
	int gate[2], out, err;
	pid_t pid;

	snprintf(seed_text, sizeof(seed_text), "%u", seed);
	snprintf(writes_text, sizeof(writes_text), "%u", writes);
	err = kind->open(ret_read, &out);
	if (err || pipe2(gate, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid == 0) {
		char byte;

		dup2(out, 1);
		if (read(gate[0], &byte, 1) == 1)
			execl(self, self, "--child", seed_text, writes_text, (char *)NULL);
		_exit(127);
	}
	close(gate[0]);
	close(out);
	*ret_gate = gate[1];
	return pid;
}

/* Reads both sides until the child has ended and nothing is left. True in time. */
static bool follow(struct probe *probe, pid_t child, int fd, struct tally *got,
		   struct tally *captured, unsigned *faults)
{
	static char data[1 << 16];
	time_t end = time(NULL) + DEADLINE_S;
	bool ended = false;
	int status = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (time(NULL) < end) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		ssize_t len;

		poll(&poll_fd, 1, 1);
		/* all at the end; before it a part, or the ring would wait for writers to pause */
		for (int i = 0; (ended || i < READS) && (len = read(fd, data, sizeof(data))) > 0;
		     i++)
			tally_add(got, data, len);
		drain_ring(probe__ring(probe), captured, faults);
		if (ended)
			return status == 0;
		ended = waitpid(child, &status, WNOHANG) == child; /* then once more */
	}
	kill(child, SIGKILL);
	return false;
}

static void add_lost(void *ctx, const struct stream_key *key, const struct stream *stream)
{
	*(uint64_t *)ctx += stream->lost_bytes;
}

/* What the streams' losses sum up to, where the ring was full; -1: something else was lost. */
static int64_t told_bytes(struct probe *probe)
{
	uint64_t counters[RT_COUNTERS] = { 0 }, bytes = 0;

	probe__counters(probe, counters);
	probe__losses(probe, add_lost, &bytes);
	return counters[RT_LOST_FAULT] + counters[RT_LOST_INFLIGHT] + counters[RT_SEGMENTS] +
			       counters[RT_TRUNCATED_BYTES] + counters[RT_UNSEEN_BYTES]
		       ? -1
		       : (int64_t)bytes;
}

static uint64_t all_bytes(const struct tally *tally)
{
	uint64_t bytes = 0;

	for (int i = 0; i < WRITERS; i++)
		bytes += tally->bytes[i];
	return bytes;
}

/* Compares both sides, and says it. True: they are the same, or differ by what is told. */
static bool judge(const struct tally *got, const struct tally *captured, int64_t told, bool sound,
		  const char *what)
{
	uint64_t bytes = all_bytes(got), missing = bytes - all_bytes(captured);
	bool same = memcmp(got, captured, sizeof(*got)) == 0;
	bool ok = sound && bytes && (told ? told > 0 && missing == (uint64_t)told : same);

	printf("%s %s: %llu bytes, %llu missing, %lld told\n", ok ? "ok" : "not ok", what,
	       (unsigned long long)bytes, (unsigned long long)missing, (long long)told);
	for (int i = 0; i < WRITERS && !ok; i++)
		printf("# writer %d: %llu bytes arrived, %llu captured\n", i,
		       (unsigned long long)got->bytes[i], (unsigned long long)captured->bytes[i]);
	return ok;
}

static int run(const struct kind *kind, int number, enum probe_plan plan, unsigned seed,
	       unsigned writes)
{
	struct probe_config config = { .plan = plan, .verbose = getenv("VERBOSE") != NULL };
	struct tally got = { .bytes = { 0 } }, captured = { .bytes = { 0 } };
	const char *name = plan == PROBE_PLAN_FENTRY ? "fentry" : "syscall";
	int err, gate = -1, fd = -1;
	unsigned faults = 0;
	char *problem;
	bool ok, done = false;
	char what[128];
	struct probe *probe = probe__new(&config, &err, &problem);

	if (!probe) {
		/* not allowed here; any other refusal is a fault, and in a guest all is allowed */
		bool skip = err == -EPERM && !getenv("REQTAP_VM");

		printf("%s %d - %s plan, %s%s%s\n", skip ? "ok" : "not ok", number, name,
		       kind->name, skip ? " # SKIP " : ": ", problem);
		free(problem);
		return !skip;
	}
	pid_t child = start_child(kind, seed, writes, &gate, &fd);
	if (child > 0 && probe__begin(probe) == 0 && probe__follow(probe, child) == 0 &&
	    write(gate, "g", 1) == 1)
		done = follow(probe, child, fd, &got, &captured, &faults);
	snprintf(what, sizeof(what), "%d - %s plan, %s, %u writes%s, %u faults, seed %u", number,
		 name, kind->name, writes, done ? "" : " not done", faults, seed);
	ok = judge(&got, &captured, told_bytes(probe), done && !faults, what);
	close(gate);
	close(fd);
	probe__free(probe);
	return !ok;
}

int main(int argc, char **argv)
{
	int bad = 0, number = 0;

	if (argc == 4 && strcmp(argv[1], "--child") == 0)
		return child_main(atoi(argv[2]), atoi(argv[3]));
	if (argc != 4 && argc != 5) {
		fprintf(stderr, "usage: writer syscall|fentry SEED WRITES [KIND]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (argc == 4 || !strcmp(argv[4], kinds[i].name))
			bad |= run(&kinds[i], ++number,
				   strcmp(argv[1], "fentry") == 0 ? PROBE_PLAN_FENTRY
								  : PROBE_PLAN_SYSCALL,
				   atoi(argv[2]), atoi(argv[3]));
	return bad;
}
