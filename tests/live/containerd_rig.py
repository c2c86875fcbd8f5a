# SPDX-License-Identifier: Apache-2.0
"""A containerd of the test's own, asked over the CRI as the kubelet does; one image, of busybox alone."""
import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tap import ROOT

IMAGE = "localhost/reqtap:test"
APPLETS = "sh echo sleep seq cat ls".split()
CONFIG = """version = 2
root = "{home}/root"
state = "{home}/state"
[grpc]
  address = "{home}/sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%s"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
""" % IMAGE


def messages():
    """The CRI's messages by name, compiled by protoc at run time."""
    data = subprocess.check_output(["protoc", f"-I{ROOT}/tests/kube", "--descriptor_set_out=/dev/stdout", "cri.proto"])
    pool, file = descriptor_pool.DescriptorPool(), descriptor_pb2.FileDescriptorSet.FromString(data).file[0]
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {m.name: factory.GetPrototype(pool.FindMessageTypeByName("runtime.v1." + m.name)) for m in file.message_type}


CRI = messages()
# method: what it takes, what it gives
METHODS = {"Status": ("Nothing", "Nothing"),
           "RunPodSandbox": ("RunPodSandboxRequest", "RunPodSandboxResponse"),
           "StopPodSandbox": ("PodSandboxRequest", "Nothing"), "RemovePodSandbox": ("PodSandboxRequest", "Nothing"),
           "CreateContainer": ("CreateContainerRequest", "CreateContainerResponse"),
           "StartContainer": ("ContainerRequest", "Nothing"), "StopContainer": ("StopContainerRequest", "Nothing"),
           "RemoveContainer": ("ContainerRequest", "Nothing"), "ExecSync": ("ExecSyncRequest", "ExecSyncResponse")}


def add(tar, name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))


def write_image(path):
    """As `docker save` writes one; without a command it sleeps, as a pod's sandbox does."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        add(tar, "bin", type=tarfile.DIRTYPE, mode=0o755)
        add(tar, "bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755)
        for applet in APPLETS:
            add(tar, f"bin/{applet}", type=tarfile.SYMTYPE, linkname="busybox")
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sleep", "3600"], "Env": ["PATH=/bin"]},
              "rootfs": {"type": "layers", "diff_ids": []}, "history": [{"created_by": "test"}]}
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config["rootfs"]["diff_ids"].append(f"sha256:{digest}")
    with tarfile.open(path, "w") as tar:
        add(tar, "layer.tar", layer.getvalue())
        add(tar, "config.json", json.dumps(config).encode())
        add(tar, "manifest.json", json.dumps([{"Config": "config.json", "RepoTags": [IMAGE],
                                               "Layers": ["layer.tar"]}]).encode())


class Containerd:
    """.call(method, **fields) is one CRI call."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="reqtap-containerd-")
        self.home = Path(self.folder.name)
        self.process = self.channel = None

    def __enter__(self):
        (self.home / "config.toml").write_text(CONFIG.format(home=self.home), encoding="ascii")
        self.start()
        write_image(self.home / "image.tar")
        self.ctr("images", "import", str(self.home / "image.tar"))
        return self

    def start(self):
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(["containerd", "--config", self.home / "config.toml"], stdout=log, stderr=log)
        self.channel = grpc.insecure_channel(f"unix://{self.home}/sock")
        end = time.monotonic() + 60
        while not self.ready():
            assert time.monotonic() < end, "containerd does not begin: " + self.log
            time.sleep(0.1)

    def ready(self):
        try:
            self.call("Status")
        except grpc.RpcError:
            return False
        return True

    def stop(self):
        self.channel.close()
        self.process.terminate()
        self.process.wait(timeout=30)

    @property
    def log(self):
        return (self.home / "log").read_text(encoding="utf-8", errors="replace")[-3000:]

    def ctr(self, *arguments):
        subprocess.run(["ctr", "--address", self.home / "sock", "--namespace", "k8s.io", *arguments], check=True,
                       timeout=60, stdout=subprocess.DEVNULL)

    def call(self, method, **fields):
        takes, gives = METHODS[method]
        call = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{method}", CRI[takes].SerializeToString,
                                        CRI[gives].FromString)
        return call(CRI[takes](**fields), timeout=60)

    def __exit__(self, *args):
        self.stop()
        for _ in range(50):  # its shims end with their containers
            mounts = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
                      if str(self.home) in line]
            for mount in reversed(mounts):
                subprocess.run(["umount", "--lazy", mount], check=False, stderr=subprocess.DEVNULL)
            if not mounts:
                break
            time.sleep(0.1)
        self.folder.cleanup()


class Pod:
    """A sandbox below `parent`, as the kubelet asks for one; .run() starts a container in it."""

    def __init__(self, containerd, parent, uid, name):
        self.containerd, self.uid = containerd, uid
        self.logs = containerd.home / "pods" / uid
        self.logs.mkdir(parents=True)
        self.config = {
            "metadata": {"name": name, "uid": uid, "namespace": "models"},
            "log_directory": str(self.logs),
            "linux": {"cgroup_parent": f"{parent}/burstable/pod{uid}",
                      # the node's network: the test needs no CNI
                      "security_context": {"namespace_options": {"network": 2, "pid": 1}}},
        }
        self.containers = []
        self.id = None

    def __enter__(self):
        self.id = self.containerd.call("RunPodSandbox", config=self.config).pod_sandbox_id
        return self

    def create(self, name, script, attempt=0, tty=False):
        config = {"metadata": {"name": name, "attempt": attempt}, "image": {"image": IMAGE},
                  "command": ["/bin/sh", "-c", script], "log_path": f"{name}-{attempt}.log", "tty": tty}
        made = self.containerd.call("CreateContainer", pod_sandbox_id=self.id, config=config, sandbox_config=self.config)
        self.containers.append(made.container_id)
        return made.container_id

    def start(self, container):
        self.containerd.call("StartContainer", container_id=container)

    def log_lines(self, name, attempt=0):
        """What containerd wrote for `kubectl logs`: the lines without their heads."""
        path = self.logs / f"{name}-{attempt}.log"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [line.split(" ", 3)[3] for line in text.splitlines()]

    def __exit__(self, *args):
        # the sandbox takes its containers with it
        self.containerd.call("StopPodSandbox", pod_sandbox_id=self.id)
        self.containerd.call("RemovePodSandbox", pod_sandbox_id=self.id)
