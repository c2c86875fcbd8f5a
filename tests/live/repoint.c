/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repoint PLAN: a thread waits inside a call, another points the call's descriptor elsewhere. What
 * the call then moves belongs to the file that it was called with, not to the one that the
 * descriptor is by now: once for a write to a stream, once for a request from a connection. TAP.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "agent/probe.h"

#define WRITE_BYTES 200000 /* more than a pipe takes */
#define CONTROL 3          /* the child tells its parent through it */
#define DEADLINE_S 60
#define REQUEST "GET / HTTP/1.1\r\nHost: h\r\nx-baseten-request-id: first\r\n\r\n"

static const char *const headers[] = { "x-baseten-request-id", NULL };

/* ---- the child: a thread that waits, and the main thread that moves its descriptor */

struct waiter {
	pthread_t thread;
	volatile pid_t tid;
	int fd;
	bool ok;
};

/* Until the thread is inside call `number` and off its CPU. */
static bool until_waits(const struct waiter *w, long number)
{
	time_t end = time(NULL) + DEADLINE_S;
	char path[64], text[64];

	while (time(NULL) < end) {
		snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", w->tid);
		int fd = w->tid ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

		if (fd >= 0)
			close(fd);
		text[n > 0 ? n : 0] = 0;
		if (n > 0 && text[0] >= '0' && text[0] <= '9' && atol(text) == number)
			return true;
		usleep(1000);
	}
	return false;
}

static void *write_much(void *ctx)
{
	static char data[WRITE_BYTES];
	struct waiter *w = ctx;

	memset(data, 'a', sizeof(data));
	w->tid = syscall(SYS_gettid);
	w->ok = write(w->fd, data, sizeof(data)) == sizeof(data) && write(w->fd, data, 1) == 1;
	return NULL;
}

static bool write_moved(bool by_close)
{
	struct waiter w = { .fd = 1 };

	if (pthread_create(&w.thread, NULL, write_much, &w) || !until_waits(&w, SYS_write))
		return false;
	if (by_close ? close(1) || dup(2) != 1 : dup2(2, 1) != 1)
		return false;
	if (write(CONTROL, "m", 1) != 1)
		return false;
	pthread_join(w.thread, NULL);
	return w.ok && write(1, "after\n", 6) == 6;
}

static bool child_stream(void)
{
	return write_moved(false);
}

static bool child_closed(void)
{
	return write_moved(true);
}

static void *receive(void *ctx)
{
	char data[256];
	struct waiter *w = ctx;

	w->tid = syscall(SYS_gettid);
	w->ok = recv(w->fd, data, sizeof(data), 0) == (ssize_t)strlen(REQUEST) &&
		write(1, "line\n", 5) == 5;
	return NULL;
}

static int connection(int listener, int *ret_client)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);

	*ret_client = socket(AF_INET, SOCK_STREAM, 0);
	if (getsockname(listener, (void *)&address, &len) ||
	    connect(*ret_client, (void *)&address, len))
		return -1;
	return accept(listener, NULL, NULL);
}

static bool child_request(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), clients[2], one, two;
	struct waiter w = { .fd = -1 };
	struct stat status;
	uint64_t inode;

	if (bind(listener, (void *)&any, sizeof(any)) || listen(listener, 2))
		return false;
	one = w.fd = connection(listener, &clients[0]);
	two = connection(listener, &clients[1]);
	if (one < 0 || two < 0 || fstat(one, &status) || dup(one) < 0)
		return false;
	inode = status.st_ino;
	if (pthread_create(&w.thread, NULL, receive, &w) || !until_waits(&w, SYS_recvfrom))
		return false;
	if (dup2(two, one) != one ||
	    send(clients[0], REQUEST, strlen(REQUEST), 0) != (ssize_t)strlen(REQUEST))
		return false;
	pthread_join(w.thread, NULL);
	return w.ok && write(CONTROL, &inode, sizeof(inode)) == sizeof(inode);
}

/* ---- the parent */

struct seen {
	struct stat out, err;
	uint64_t out_bytes, err_bytes, other_bytes;
	uint64_t seq, cookie; /* of the request */
	uint64_t line_request;
};

static void see_fragment(struct seen *seen, const struct event_fragment *f)
{
	if (f->inode == seen->out.st_ino)
		seen->out_bytes += f->len;
	else if (f->inode == seen->err.st_ino)
		seen->err_bytes += f->len;
	else
		seen->other_bytes += f->len;
	seen->line_request = f->request;
}

static void see(struct probe *probe, struct seen *seen)
{
	struct ring *ring = probe__ring(probe);
	const struct event *event;
	size_t len;

	while ((event = ring__read(ring, &len))) {
		const struct event_request *request = (const void *)event;

		if (event->kind == RT_EVENT_FRAGMENT)
			see_fragment(seen, (const void *)event);
		if (event->kind != RT_EVENT_REQUEST || strcmp(request->request.id, "first") != 0)
			continue;
		seen->seq = request->request.seq;
		seen->cookie = request->request.cookie;
	}
	ring__release(ring, ring__position(ring));
}

struct child {
	pid_t pid;
	int go, control, out, err;
};

static bool start(struct child *child, struct seen *seen, const char *what)
{
	int go[2], control[2], out[2], err[2];
	char byte;

	if (pipe2(go, O_CLOEXEC) || pipe2(control, O_CLOEXEC) || pipe2(out, O_CLOEXEC) ||
	    pipe2(err, O_CLOEXEC))
		return false;
	child->pid = fork();
	if (child->pid == 0) {
		dup2(out[1], 1);
		dup2(err[1], 2);
		if (read(go[0], &byte, 1) != 1)
			_exit(127);
		dup2(control[1], CONTROL);
		fcntl(CONTROL, F_SETFD, 0);
		execl("/proc/self/exe", "repoint", "--child", what, (char *)NULL);
		_exit(127);
	}
	fstat(out[0], &seen->out);
	fstat(err[0], &seen->err);
	close(go[0]), close(control[1]), close(out[1]), close(err[1]);
	*child = (struct child){ child->pid, go[1], control[0], out[0], err[0] };
	return child->pid > 0;
}

/* Reads what the child writes, its stdout only once it has said that it may be. Its exit status. */
static int finish(const struct child *child, struct probe *probe, struct seen *seen, void *ret_told)
{
	time_t end = time(NULL) + DEADLINE_S;
	static char data[1 << 16];
	int status = -1, out = -1;

	while (time(NULL) < end && waitpid(child->pid, &status, WNOHANG) != child->pid) {
		struct pollfd fds[] = { { .fd = child->control, .events = POLLIN },
					{ .fd = out, .events = POLLIN } };

		poll(fds, 2, 10);
		if (out < 0 && fds[0].revents & POLLIN) {
			if (read(child->control, ret_told, sizeof(uint64_t)) > 0)
				out = child->out;
		}
		if (fds[1].revents & POLLIN && read(out, data, sizeof(data)) < 0)
			break;
		see(probe, seen);
	}
	if (status == -1)
		kill(child->pid, SIGKILL);
	see(probe, seen);
	return status;
}

static bool check_stream(const struct seen *seen, uint64_t told)
{
	printf("# to stdout %llu bytes, to stderr %llu, elsewhere %llu\n",
	       (unsigned long long)seen->out_bytes, (unsigned long long)seen->err_bytes,
	       (unsigned long long)seen->other_bytes);
	return seen->out_bytes == WRITE_BYTES && seen->err_bytes == 7 && !seen->other_bytes;
}

static bool check_request(const struct seen *seen, uint64_t told)
{
	printf("# request of connection %llu, the read one is %llu\n",
	       (unsigned long long)seen->cookie, (unsigned long long)told);
	return seen->seq && seen->cookie == told && seen->line_request == seen->seq;
}

static const struct scene {
	const char *name, *what;
	bool (*child)(void);
	bool (*check)(const struct seen *seen, uint64_t told);
} scenes[] = {
	{ "stream", "a write goes to the stream that it began with", child_stream, check_stream },
	{ "closed", "also when its descriptor is closed and given out again", child_closed,
	  check_stream },
	{ "request", "a request is that of the connection it was read from", child_request,
	  check_request },
};

#define SCENES (sizeof(scenes) / sizeof(scenes[0]))

static bool run(const struct scene *scene, struct probe *probe)
{
	struct seen seen = { .seq = 0 };
	struct child child;
	uint64_t told = 0;
	int status;

	if (!start(&child, &seen, scene->name) || probe__follow(probe, child.pid) ||
	    write(child.go, "g", 1) != 1)
		return false;
	status = finish(&child, probe, &seen, &told);
	if (status)
		printf("# the child ended with %#x\n", status);
	return scene->check(&seen, told) && status == 0;
}

int main(int argc, char **argv)
{
	struct probe_config config = { .headers = headers,
				       .lineage_grace_ns = 1000000000,
				       .verbose = getenv("VERBOSE") != NULL };
	int err, bad = 0;
	struct probe *probe;
	char *problem;

	for (size_t i = 0; argc == 3 && i < SCENES; i++)
		if (!strcmp(argv[2], scenes[i].name))
			return !scenes[i].child();
	if (argc != 2) {
		fprintf(stderr, "usage: repoint syscall|fentry\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	config.plan = strcmp(argv[1], "fentry") == 0 ? PROBE_PLAN_FENTRY : PROBE_PLAN_SYSCALL;
	probe = probe__new(&config, &err, &problem);
	if (!probe || probe__begin(probe)) {
		bool skip = !probe && err == -EPERM && !getenv("REQTAP_VM");

		printf("%s 1 - %s plan%s%s\n", skip ? "ok" : "not ok", argv[1],
		       skip ? " # SKIP " : ": ", probe ? "" : problem);
		return !skip;
	}
	for (size_t i = 0; i < SCENES; i++) {
		bool ok = run(&scenes[i], probe);

		printf("%s %zu - %s\n", ok ? "ok" : "not ok", i + 1, scenes[i].what);
		bad |= !ok;
	}
	probe__free(probe);
	return bad;
}
