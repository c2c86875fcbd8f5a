/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "agent/replica.h"

static void assert_str(struct str s, const char *want)
{
	assert_int_equal(s.len, strlen(want));
	assert_memory_equal(s.data, want, s.len);
}

/* Returns when the program runs, and so has its environment: it sent its first byte back. */
static pid_t start(char *const env[], int *ret_stdin)
{
	int in[2], out[2];
	char byte = 'x';
	pid_t pid;

	assert_int_equal(pipe(in) | pipe(out), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[0]);
		close(in[1]);
		close(out[0]);
		close(out[1]);
		execle("/bin/cat", "cat", NULL, env);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	assert_int_equal(write(in[1], &byte, 1), 1);
	assert_int_equal(read(out[0], &byte, 1), 1);
	close(out[0]);
	*ret_stdin = in[1];
	return pid;
}

static void stop(pid_t pid, int in)
{
	close(in);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_flags(void **state)
{
	const struct replica given = { .replica = STR("r"), .model_id = STR("m") };
	struct replica_table *table =
		replica_table__new(&(struct replica_config){ .given = &given });

	assert_str(replica_table__get(table, 1)->model_id, "m");
	assert_str(replica_table__get(table, 1)->replica, "r");
	assert_int_equal(replica_table__get(table, 1)->environment.len, 0);
	replica_table__free(table);
	table = replica_table__new(NULL);
	assert_int_equal(replica_table__get(table, 1)->model_id.len, 0);
	replica_table__free(table);
}

static void test_environ(void **state)
{
	char *const env[] = { "BT_MODEL_ID=abc", "NOT_BT_MODEL_ID=no",
			      "BT_MODEL_DEPLOYMENT_ID=", "BT_TRAINING_JOB_ID=t=1", NULL };
	struct replica_table *table = replica_table__new(NULL);
	int in;
	pid_t pid = start(env, &in);

	replica_table__process(table, 5, pid);
	assert_str(replica_table__get(table, 5)->model_id, "abc");
	assert_str(replica_table__get(table, 5)->training_job_id, "t=1");
	assert_int_equal(replica_table__get(table, 5)->model_version_id.len, 0);
	assert_int_equal(replica_table__get(table, 5)->container, 5);
	assert_int_equal(replica_table__get(table, 6)->model_id.len, 0);
	stop(pid, in);
	replica_table__process(table, 5, pid); /* gone: what was known stands */
	replica_table__tick(table, 1);
	assert_str(replica_table__get(table, 5)->model_id, "abc");
	replica_table__remove(table, 5);
	assert_int_equal(replica_table__get(table, 5)->model_id.len, 0);
	replica_table__free(table);
}

static void test_rank(void **state)
{
	char *const env[] = { "BT_MODEL_ID=environ", "BT_MODEL_DEPLOYMENT_ID=v1", NULL };
	const struct replica given = { .model_id = STR("flag") };
	const struct identity early = {
		.text = { [IDENTITY_MODEL] = "kube", [IDENTITY_REPLICA] = "pod" }
	};
	const struct identity late = {
		.text = { [IDENTITY_VERSION] = "revision", [IDENTITY_TRAINING] = "job" }
	};
	struct replica_table *table =
		replica_table__new(&(struct replica_config){ .given = &given });
	int in;
	pid_t pid = start(env, &in);

	replica_table__process(table, 5, pid);
	assert_str(replica_table__get(table, 5)->model_id, "flag");
	assert_str(replica_table__get(table, 5)->model_version_id, "v1");
	assert_int_equal(replica_table__set(table, 5, &early, &late), 0);
	assert_str(replica_table__get(table, 5)->model_id, "kube");
	assert_str(replica_table__get(table, 5)->replica, "pod");
	assert_str(replica_table__get(table, 5)->model_version_id, "v1");
	assert_str(replica_table__get(table, 5)->training_job_id, "job");
	stop(pid, in);
	replica_table__free(table);
}

static void put_file(const char *root, const char *text)
{
	char path[256], made[300];
	int fd;

	/* as a mounted ConfigMap changes: a new file takes the old one's name */
	snprintf(path, sizeof(path), "%s%s", root, REPLICA_ENVIRONMENT_FILE);
	snprintf(made, sizeof(made), "%s.new", path);
	fd = open(made, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(rename(made, path), 0);
}

static void on_promoted(void *ctx, const struct replica *now, struct str before)
{
	snprintf(ctx, 100, "%.*s to %.*s", (int)before.len, before.data, (int)now->environment.len,
		 now->environment.data);
}

/* A promotion changes the file under a running process. */
static void test_environment_file(void **state)
{
	char root[] = "/tmp/reqtap-test-XXXXXX", command[64];
	char promotion[100] = "";
	const struct replica_config config = { .promoted = on_promoted, .ctx = promotion };
	struct replica_table *table = replica_table__new(&config);
	int ready[2];
	pid_t pid;

	if (getuid())
		skip(); /* another root takes one */
	assert_non_null(mkdtemp(root));
	snprintf(command, sizeof(command), "mkdir -p %s/etc/b10_dynamic_config", root);
	assert_int_equal(system(command), 0);
	put_file(root, "{\"name\": \"staging\"}");
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		if (chroot(root) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], command, 1), 1);
	replica_table__process(table, 5, pid);
	assert_str(replica_table__get(table, 5)->environment, "staging");
	put_file(root, "{\"other\": 1, \"name\": \"production\"}");
	assert_string_equal(promotion, "");
	replica_table__now(table, 10000000000ULL);
	assert_str(replica_table__get(table, 5)->environment, "production");
	assert_string_equal(promotion, "staging to production");
	/* a program that starts in the container right after the change is not what hides it */
	put_file(root, "{\"name\": \"canary\"}");
	replica_table__process(table, 5, getpid());
	assert_str(replica_table__get(table, 5)->environment, "canary");
	assert_string_equal(promotion, "production to canary");
	put_file(root, "");
	replica_table__tick(table, 20000000000ULL);
	assert_int_equal(replica_table__get(table, 5)->environment.len, 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(ready[0]);
	close(ready[1]);
	replica_table__free(table);
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_environ),
		cmocka_unit_test(test_rank),
		cmocka_unit_test(test_environment_file),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
