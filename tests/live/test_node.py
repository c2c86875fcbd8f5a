#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`reqtap agent` on cgroups: containers that run already and those that come, their first byte, and their end."""
import os
import subprocess
import time

import tap
from node_rig import Agent, Cgroup, until
from tap import REQTAP, test

NAME = f"reqtap-node-{os.getpid()}"


def drain(*processes):
    for process in processes:
        process.communicate(timeout=30)


@test("wrong usage is one line and exit 2", needs_capture=False)
def _():
    for options, word in ((["--cgroup", "x"], "--cgroup"), (["--ring-size=5000"], "--ring-size"), (["x"], "arguments")):
        done = subprocess.run([REQTAP, "agent", *options], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and word in done.stderr, done


@test("a container that comes: its first byte, both streams, its identity by environment")
def _():
    with Agent("--cgroup", f"/{NAME}-*") as agent, Cgroup(f"/{NAME}-a") as group:
        env = dict(os.environ, BT_MODEL_ID="m1", BT_MODEL_DEPLOYMENT_ID="v1")
        server = group.start("/bin/sh", "-c", "echo first; echo second >&2; read go", stdin=subprocess.PIPE, env=env)
        assert agent.wait_for(2), agent.log
        drain(server)
        records = agent.records()
        assert sorted(r["body"] for r in records) == ["first", "second"], records
        for record in records:
            assert record["attributes"]["model_id"] == "m1", record
            assert record["attributes"]["model_version_id"] == "v1", record
            assert record["scope"] == "reqtap.serving", record
        assert agent.stop() == 0, agent.log


@test("a container that runs already is taken up")
def _():
    with Cgroup(f"/{NAME}-b") as group:
        server = group.start("/bin/sh", "-c", "echo early; read go; echo late; echo late error >&2",
                             stdin=subprocess.PIPE)
        assert server.stdout.readline() == b"early\n"
        with Agent("--cgroup", f"/{NAME}-*") as agent:
            server.communicate(b"go\n", timeout=30)
            assert agent.wait_for(2), agent.log
            assert sorted(agent.messages()) == ["late", "late error"], agent.messages()


@test("so is one whose program runs in a cgroup below its own, as crun makes them")
def _():
    with Cgroup(f"/{NAME}-f") as _group, Cgroup(f"/{NAME}-f/container") as leaf:
        server = leaf.start("/bin/sh", "-c", "echo early; read go; echo late", stdin=subprocess.PIPE,
                            env=dict(os.environ, BT_MODEL_ID="m6"))
        assert server.stdout.readline() == b"early\n"
        with Agent("--cgroup", f"/{NAME}-f") as agent:
            server.communicate(b"go\n", timeout=30)
            assert agent.wait_for(1), agent.log
            assert agent.records()[0]["attributes"] == {"message": "late", "model_id": "m6"}, agent.records()


@test("what is beside is not captured, nor what comes into the container from outside")
def _():
    with Agent("--cgroup", f"/{NAME}-c/in*") as agent, Cgroup(f"/{NAME}-c") as _top, \
            Cgroup(f"/{NAME}-c/in1") as inside, Cgroup(f"/{NAME}-c/out1") as beside:
        server = inside.start("/bin/sh", "-c", "echo server; sleep 30")
        assert server.stdout.readline() == b"server\n"
        drain(beside.start("/bin/echo", "beside"), inside.start("/bin/echo", "session"))
        drain(inside.start("/bin/sh", "-c", "echo session child | cat"))
        assert agent.wait_for(1), agent.log
        time.sleep(1)
        assert agent.messages() == ["server"], agent.messages()


@test("a cgroup inside a container belongs to it")
def _():
    with Agent("--cgroup", f"/{NAME}-d/*", "--replica", "abcde") as agent, Cgroup(f"/{NAME}-d/one") as group, \
            Cgroup(f"/{NAME}-d/one/leaf") as leaf:
        env = dict(os.environ, BT_MODEL_ID="m2")
        server = leaf.start("/bin/sh", "-c", "echo from the leaf; read go", stdin=subprocess.PIPE, env=env)
        assert agent.wait_for(1), agent.log
        drain(server)
        record = agent.records()[0]
        assert record["body"] == "from the leaf" and record["attributes"]["model_id"] == "m2", record
        assert group.folder.exists()


@test("a restarted container is another one, and both are complete")
def _():
    with Agent("--cgroup", f"/{NAME}-e/*") as agent:
        for n in range(5):
            with Cgroup(f"/{NAME}-e/c{n}") as group:
                drain(group.start("/bin/sh", "-c", "for i in $(seq 100); do echo $BT_MODEL_ID-$i; done; sleep 2",
                                  env=dict(os.environ, BT_MODEL_ID=f"m{n}")))
        assert until(lambda: len(agent.records()) >= 500), (len(agent.records()), agent.log)
        records = agent.records()
        assert sorted(r["body"] for r in records) == sorted(f"m{n}-{i}" for n in range(5) for i in range(1, 101))
        assert all(r["body"].split("-")[0] == r["attributes"]["model_id"] for r in records)
    Cgroup(f"/{NAME}-e").remove()


tap.main()
