/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/proc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define TCP_LISTEN 0x0a
#define TTY_MAJOR 4
#define PTS_MAJOR_FIRST 136 /* Documentation/admin-guide/devices.txt */
#define PTS_MAJOR_LAST 143

int proc__stat(pid_t tgid, struct proc_stat *ret)
{
	char path[64], text[1024], *at;
	size_t len;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", tgid);
	in = fopen(path, "re");
	if (!in)
		return -errno;
	len = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[len] = 0;
	at = strrchr(text, ')'); /* the name before may contain anything */
	if (!at || sscanf(at + 1,
			  " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
			  "%*d %" SCNu64,
			  &ret->parent, &ret->start_ticks) != 2)
		return -EPROTO;
	return 0;
}

static bool carries_lines(const struct stat *st)
{
	unsigned number = major(st->st_rdev);

	if (S_ISCHR(st->st_mode)) /* a terminal; not /dev/null */
		return number == TTY_MAJOR ||
		       (number >= PTS_MAJOR_FIRST && number <= PTS_MAJOR_LAST);
	return S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode) || S_ISREG(st->st_mode);
}

int proc__stream(pid_t tgid, int fd, struct proc_stream *ret)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", tgid, fd);
	if (stat(path, &st))
		return -errno;
	if (!carries_lines(&st))
		return -ENOENT;
	ret->inode = st.st_ino;
	ret->device = st.st_dev;
	ret->shared_input = S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode);
	return 0;
}

/* "  0: 0100007F:1F90 00000000:0000 0A …": proc_net_tcp(5) */
uint16_t proc__listening_port(const char *line)
{
	unsigned port, state;

	if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%4x %*[0-9A-Fa-f]:%*x %2x", &port, &state) != 2)
		return 0;
	return state == TCP_LISTEN ? port : 0;
}

int proc__listening(pid_t tgid, void (*fn)(void *ctx, uint32_t netns, uint16_t port), void *ctx)
{
	static const char *const files[] = { "net/tcp", "net/tcp6" };
	char path[64], line[512];
	struct stat netns;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", tgid);
	if (stat(path, &netns))
		return -errno;
	for (int i = 0; i < 2; i++) {
		FILE *in;

		snprintf(path, sizeof(path), "/proc/%d/%s", tgid, files[i]);
		in = fopen(path, "re");
		while (in && fgets(line, sizeof(line), in)) {
			uint16_t port = proc__listening_port(line);

			if (port)
				fn(ctx, netns.st_ino, port);
		}
		if (in)
			fclose(in);
	}
	return 0;
}

int proc__pod_container_of(const char *line, char *ret, size_t size)
{
	static const char mount[] = " /dev/termination-log ", folder[] = "/containers/";
	const char *at = strstr(line, mount), *root = at, *name = NULL;
	size_t len;

	if (!at)
		return -ENOENT;
	while (root > line && root[-1] != ' ')
		root--;
	for (const char *found = root; (found = strstr(found, folder)) && found < at;)
		name = found += sizeof(folder) - 1;
	len = name ? strcspn(name, "/ ") : 0;
	if (!len || name[len] != '/' || len >= size)
		return -ENOENT;
	memcpy(ret, name, len);
	ret[len] = 0;
	return 0;
}

int proc__pod_container(pid_t tgid, char *ret, size_t size)
{
	char path[64], line[4096];
	int err = -ENOENT;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", tgid);
	in = fopen(path, "re");
	while (in && err && fgets(line, sizeof(line), in))
		err = proc__pod_container_of(line, ret, size);
	if (in)
		fclose(in);
	return err;
}
