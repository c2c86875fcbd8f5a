/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"
#include "agent/cgroup_name.h"

#define ID "dacd1b3fdbf14aed36b7138d8edb262f3d69fe3b2d303938800b6fccbfb4fddf"
#define ID2 "00931b3fdbf14aed36b7138d8edb262f3d69fe3b2d303938800b6fccbfb4f000"
#define UID "e83ba8dd-f2f1-4490-8fc5-0c2f5ddee65b"
#define UID_ "e83ba8dd_f2f1_4490_8fc5_0c2f5ddee65b"
#define HASH "55f434ba2f657a2c1307d23d7b071615"
#define SLICE "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice"

struct expected {
	const char *path, *uid, *id;
	unsigned inside;
};

static const struct expected all[] = {
	{ "/", "", "", 0 },
	{ "", "", "", 0 },
	{ "/kubepods", "", "", 0 },
	{ "/kubepods/burstable", "", "", 0 },
	{ "/kubepods/pod" UID, UID, "", 0 },
	{ "/kubepods/pod" UID "/" ID, UID, ID, 0 },
	{ "/kubepods/besteffort/pod" UID "/" ID, UID, ID, 0 },
	{ "/kubepods/burstable/pod" HASH "/" ID, HASH, ID, 0 },
	{ "/kubepods/burstable/pod" UID "/" ID "/init.scope", UID, ID, 1 },
	{ "/kubepods/burstable/pod" UID "/" ID "/system.slice/x.service", UID, ID, 2 },
	{ SLICE, UID, "", 0 },
	{ SLICE "/cri-containerd-" ID ".scope", UID, ID, 0 },
	{ SLICE "/crio-" ID ".scope", UID, ID, 0 },
	{ SLICE "/crio-" ID ".scope/container", UID, ID, 1 },
	{ SLICE "/crio-conmon-" ID ".scope", UID, "", 0 },
	{ SLICE "/docker-" ID ".scope", UID, ID, 0 },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/cri-containerd-" ID ".scope", UID, ID, 0 },
	{ "/a.slice/a-kubepods.slice/a-kubepods-pod" UID_ ".slice/crio-" ID ".scope", UID, ID, 0 },
	{ "/system.slice/containerd.service/kubepods-pod" UID_ ".slice:cri-containerd:" ID, UID, ID,
	  0 },
	{ "/docker/" ID, "", ID, 0 },
	{ "/system.slice/docker-" ID ".scope", "", ID, 0 },
	{ "/machine.slice/libpod-" ID ".scope", "", ID, 0 },
	{ "/machine.slice/libpod-" ID ".scope/container", "", ID, 1 },
	{ "/machine.slice/libpod-conmon-" ID ".scope", "", "", 0 },
	{ "/libpod_parent/libpod-" ID, "", ID, 0 },
	{ "/machine.slice/machine-libpod_pod_" ID ".slice", "", "", 0 },
	{ "/system.slice/nerdctl-" ID ".scope", "", ID, 0 },
	/* a node that is a container itself: the innermost container counts */
	{ "/docker/" ID2 "/kubelet/kubepods/pod" UID, UID, "", 0 },
	{ "/docker/" ID2 "/kubelet/kubepods/pod" UID "/" ID, UID, ID, 0 },
	{ "/docker/" ID2 "/docker/" ID, "", ID, 0 },
	/* near misses */
	{ "/kubepods/pod" UID "x/" ID, "", ID, 0 },
	{ "/kubepods/podx", "", "", 0 },
	{ "/system.slice/docker-" ID "0.scope", "", "", 0 },
	{ "/system.slice/docker.service", "", "", 0 },
	{ "/DACD1B3FDBF14AED36B7138D8EDB262F3D69FE3B2D303938800B6FCCBFB4FDDF", "", "", 0 },
};

static void test_paths(void **state)
{
	struct cgroup_name name;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		cgroup_name__parse(all[i].path, &name);
		if (strcmp(name.pod_uid, all[i].uid) || strcmp(name.id, all[i].id) ||
		    name.inside != all[i].inside)
			fail_msg("%s: pod '%s', container '%s', %u inside", all[i].path,
				 name.pod_uid, name.id, name.inside);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_paths) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
