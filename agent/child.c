/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_pair(const int pair[2])
{
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
}

/* In the child: waits for the word, then becomes the command. Only async-signal-safe calls. */
static void become(char **command, int go, const int out[2], int failed)
{
	sigset_t none;
	char byte;
	int err;

	if (read(go, &byte, 1) != 1)
		_exit(125); /* reqtap gave up or died */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(out[0], STDOUT_FILENO);
	dup2(out[1], STDERR_FILENO);
	execvp(command[0], command);
	err = errno;
	while (write(failed, &err, sizeof(err)) < 0 && errno == EINTR)
		;
	_exit(err == ENOENT ? 127 : 126);
}

int child__fork(struct child *ret, char **command)
{
	int go[2] = { -1, -1 }, out[2] = { -1, -1 }, errors[2] = { -1, -1 }, failed[2] = { -1, -1 },
	    err;

	if (pipe2(go, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(errors, O_CLOEXEC) ||
	    pipe2(failed, O_CLOEXEC) || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		goto fail;
	ret->pid = fork();
	if (ret->pid < 0)
		goto fail;
	if (!ret->pid) {
		close(go[1]);
		become(command, go[0], (int[2]){ out[1], errors[1] }, failed[1]);
	}
	close(go[0]);
	close(out[1]);
	close(errors[1]);
	close(failed[1]);
	ret->go = go[1];
	ret->out[0] = out[0];
	ret->out[1] = errors[0];
	ret->failed = failed[0];
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(errors[0], F_SETFL, O_NONBLOCK);
	return 0;
fail:
	err = -errno;
	close_pair(go);
	close_pair(out);
	close_pair(errors);
	close_pair(failed);
	return err;
}

int child__release(struct child *child)
{
	int err = 0;
	ssize_t n;

	if (write(child->go, "", 1) != 1)
		return -errno;
	close(child->go);
	child->go = -1;
	do
		n = read(child->failed, &err, sizeof(err)); /* closed by a successful exec */
	while (n < 0 && errno == EINTR);
	close(child->failed);
	child->failed = -1;
	return n == sizeof(err) ? -err : 0;
}

void child__close(struct child *child)
{
	if (child->go >= 0) {
		close(child->go); /* it ends by itself */
		waitpid(child->pid, NULL, 0);
		child->go = -1;
	}
	close_pair(child->out);
	child->out[0] = child->out[1] = -1;
	if (child->failed >= 0)
		close(child->failed);
	child->failed = -1;
}
