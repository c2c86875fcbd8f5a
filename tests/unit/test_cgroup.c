/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "agent/container.h"
#include "agent/proc.h"

#define V1 "31 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
#define V2 "40 30 0:37 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
#define OTHER "26 1 254:0 / / rw,relatime - ext4 /dev/vda rw,comment=-\n"

static void test_layout(void **state)
{
	assert_int_equal(cgroup__layout(OTHER), CGROUP_NONE);
	assert_int_equal(cgroup__layout(OTHER V1), CGROUP_V1);
	assert_int_equal(cgroup__layout(OTHER V1 V2), CGROUP_HYBRID);
	assert_int_equal(cgroup__layout(V2 OTHER), CGROUP_UNIFIED);
	assert_int_equal(cgroup__layout(""), CGROUP_NONE);
}

static void test_mount_point(void **state)
{
	char mount[CGROUP_PATH_MAX];
	const char *rest = cgroup__next_mount(OTHER V1 V2 OTHER, mount);

	assert_string_equal(mount, "/sys/fs/cgroup/unified");
	assert_string_equal(rest, OTHER);
	cgroup__next_mount(rest, mount);
	assert_string_equal(mount, "");
	cgroup__next_mount("1 2 0:3 / /a\\040b\\134c rw - cgroup2 x rw\n", mount);
	assert_string_equal(mount, "/a b\\c");
}

static void test_place(void **state)
{
	const char *const globs[] = { "/kubepods/*/pod*/*", "/app-*", NULL };

	assert_int_equal(container__place(globs, "/"), CONTAINER_ABOVE);
	assert_int_equal(container__place(globs, "/kubepods"), CONTAINER_ABOVE);
	assert_int_equal(container__place(globs, "/kubepods/burstable/pod1"), CONTAINER_ABOVE);
	assert_int_equal(container__place(globs, "/kubepods/burstable/other"), CONTAINER_NOWHERE);
	assert_int_equal(container__place(globs, "/kubepods/burstable/pod1/c"), CONTAINER_SELF);
	assert_int_equal(container__place(globs, "/kubepods/burstable/pod1/c/d/e"),
			 CONTAINER_INSIDE);
	assert_int_equal(container__place(globs, "/app-x"), CONTAINER_SELF);
	assert_int_equal(container__place(globs, "/app-x/leaf"), CONTAINER_INSIDE);
	assert_int_equal(container__place(globs, "/system.slice"), CONTAINER_NOWHERE);
}

static void test_place_by_name(void **state)
{
	static const char id[] = "dacd1b3fdbf14aed36b7138d8edb262f3d69fe3b2d303938800b6fccbfb4fddf";
	const char *const globs[] = { NULL };
	char path[256];

	assert_int_equal(container__place(globs, "/kubepods/burstable"), CONTAINER_ABOVE);
	snprintf(path, sizeof(path), "/docker/%s", id);
	assert_int_equal(container__place(globs, path), CONTAINER_SELF);
	snprintf(path, sizeof(path), "/docker/%s/init", id);
	assert_int_equal(container__place(globs, path), CONTAINER_INSIDE);
}

static void test_pod_container(void **state)
{
	char name[16];

	assert_int_equal(
		proc__pod_container_of("1 2 8:1 /var/lib/kubelet/pods/u/containers/model/0a1b "
				       "/dev/termination-log rw - ext4 /dev/sda1 rw",
				       name, sizeof(name)),
		0);
	assert_string_equal(name, "model");
	assert_int_equal(
		proc__pod_container_of("1 2 8:1 /pods/u/etc-hosts /etc/hosts rw - ext4 x rw", name,
				       sizeof(name)),
		-ENOENT);
	assert_int_equal(proc__pod_container_of("1 2 8:1 /containers/ /dev/termination-log rw",
						name, sizeof(name)),
			 -ENOENT);
	assert_int_equal(proc__pod_container_of("1 2 8:1 /containers/a-name-that-is-too-long/x "
						"/dev/termination-log rw",
						name, sizeof(name)),
			 -ENOENT);
	assert_int_equal(proc__pod_container(getpid(), name, sizeof(name)), -ENOENT);
}

static void test_listening(void **state)
{
	const char *head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n";

	assert_int_equal(proc__listening_port(head), 0);
	assert_int_equal(
		proc__listening_port("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000"),
		8080);
	assert_int_equal(
		proc__listening_port("   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000"), 0);
	assert_int_equal(proc__listening_port("   2: 00000000000000000000000000000000:0050 "
					      "00000000000000000000000000000000:0000 0A 0"),
			 80);
}

static void test_stat(void **state)
{
	struct proc_stat stat;

	assert_int_equal(proc__stat(getpid(), &stat), 0);
	assert_int_equal(stat.parent, getppid());
	assert_true(stat.start_ticks > 0);
	assert_int_equal(proc__stat(-1, &stat), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),        cmocka_unit_test(test_mount_point),
		cmocka_unit_test(test_place),         cmocka_unit_test(test_listening),
		cmocka_unit_test(test_stat),          cmocka_unit_test(test_place_by_name),
		cmocka_unit_test(test_pod_container),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
