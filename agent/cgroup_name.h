/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_name: what a cgroup's path says about its container: pure text, no look at the node.
 *
 * cgroupfs driver, containerd      /kubepods/burstable/pod<UID>/<ID>
 * systemd driver, containerd       /kubepods.slice/kubepods-burstable.slice/
 *                                  kubepods-burstable-pod<U_I_D>.slice/cri-containerd-<ID>.scope
 * CRI-O                            …/crio-<ID>.scope, and crio-conmon-<ID>.scope beside it
 * containerd, drivers at odds      /system.slice/containerd.service/
 *                                  kubepods-burstable-pod<U_I_D>.slice:cri-containerd:<ID>
 * Docker                           /docker/<ID>, /system.slice/docker-<ID>.scope
 * podman                           /machine.slice/libpod-<ID>.scope, /libpod_parent/libpod-<ID>
 * nerdctl                          /system.slice/nerdctl-<ID>.scope
 *
 * <ID> is 64 hexadecimal digits. A cgroup named otherwise below a container's (crun's "container",
 * a systemd inside) is a part of it. Inside a node that is itself a container (kind) the innermost
 * container counts.
 */
#ifndef REQTAP_CGROUP_NAME_H
#define REQTAP_CGROUP_NAME_H

#include <stdbool.h>

#define CGROUP_ID_LEN 64
#define CGROUP_UID_MAX 36

struct cgroup_name {
	char pod_uid[CGROUP_UID_MAX + 1]; /* with dashes; a static pod's is 32 digits; "": no pod */
	char id[CGROUP_ID_LEN + 1];       /* "": no container's cgroup, nor inside one */
	unsigned inside;                  /* levels below the container's own cgroup */
};

void cgroup_name__parse(const char *path, struct cgroup_name *ret);

#endif
