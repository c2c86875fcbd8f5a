# SPDX-License-Identifier: Apache-2.0
"""docs/troubleshooting.md: each command in it is run, and shows what the page says."""
import http.client
import json
import os
import re
import subprocess
import threading
import time

import tap
from node_rig import PYTHON, Agent, Cgroup, until

ID = "31255019cf83c4d0c7492a5006591e1f502a5"
SERVER = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print("working", flush=True)
        time.sleep(30)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


def commands():
    text = (tap.ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    return re.findall(r"^    (.+)$", text, re.M)


def run(command, pins):
    command = command.replace("/sys/fs/bpf/reqtap", pins)
    words = command.split()
    if words[0] == "reqtap":
        words[0] = str(tap.REQTAP)
        words += ["--pin-dir", pins] if words[1] == "agent" else []
        words += ["--state-dir", "/tmp" + pins.removeprefix("/sys/fs/bpf")] if words[1] == "status" else []
    if words[0] == "bpftool":
        words.insert(1, "--json")
    done = subprocess.run(words, text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"
    return json.loads(done.stdout) if words[0] == "bpftool" else done.stdout


def values(dumped):
    """What bpftool prints by the map's BTF."""
    return [item["formatted"]["value"] if "formatted" in item else item for item in dumped]


class Claims:
    """What the page says of each command."""

    def __init__(self, container, server, outputs):
        self.container, self.server, self.outputs = container, server, outputs

    def programs(self, programs):
        names = {p.get("name", "") for p in programs}
        assert "rt_exec" in names and len([n for n in names if n.startswith("rt_")]) > 10, names

    def request(self, dumped):
        mine = [r for r in values(dumped) if r["id"] == ID]
        assert len(mine) == 1 and mine[0]["state"] == 1 and mine[0]["end_ns"] == 0, dumped
        assert mine[0]["tgid"] == self.server and mine[0]["id_len"] == len(ID)
        self.outputs["request"] = mine[0]

    def owner(self, dumped):
        request = self.outputs["request"]
        mine = [e["formatted"] for e in dumped if e["formatted"]["key"]["id"] == request["tid"]]
        assert len(mine) == 1 and mine[0]["key"]["kind"] == 1, dumped
        assert mine[0]["value"]["request"] == request["seq"] and mine[0]["value"]["flags"] & 1

    def containers(self, dumped):
        inode = self.container.folder.stat().st_ino
        mine = [e["formatted"]["value"] for e in dumped if e["formatted"]["key"] == inode]
        assert len(mine) == 1 and mine[0]["flags"] & 1, dumped

    def streams(self, dumped):
        out = os.stat(f"/proc/{self.server}/fd/1").st_ino
        mine = [e["formatted"]["value"] for e in dumped if e["formatted"]["key"]["inode"] == out]
        assert len(mine) == 1 and mine[0]["kind"] == 1 and mine[0]["lost_writes"] == 0, dumped

    def losses(self, dumped):
        assert not [e for e in dumped if e["formatted"]["key"]["container"] == self.container.folder.stat().st_ino]

    def counters(self, dumped):
        # the first is RT_WRITES: two lines were written
        first = next(e["formatted"] for e in dumped if e["formatted"]["key"] == 0)
        assert sum(v["value"] for v in first["values"]) >= 2, first


    def status(self, text):
        assert text.startswith("reqtap ") and ", ready" in text, text
        assert re.search(r"^containers +1$", text, re.M) and re.search(r"^requests +1 in flight", text, re.M), text
        assert re.search(r"^lost +0$", text, re.M), text


def ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/", b"{}", {"x-baseten-request-id": ID})


@tap.test("every command of the page shows what the page says")
def _():
    name = f"/reqtap-bpftool-{os.getpid()}"
    pins = f"/sys/fs/bpf{name}"
    state = f"/tmp{name}"
    with Agent("--cgroup", name, "--pin-dir", pins, "--state-dir", state) as agent, Cgroup(name) as container:
        server = container.start(PYTHON, "-c", SERVER)
        assert until(lambda: [m for m in agent.messages() if m.startswith("port ")]), agent.log
        port = int(agent.messages()[0].split()[1])
        threading.Thread(target=ask, args=(port,), daemon=True).start()
        assert until(lambda: "working" in agent.messages()), agent.messages()
        time.sleep(1.5)  # the agent looks at itself once a second
        claims = Claims(container, server.pid, {})
        checks = {
            "rt_request": claims.request, "rt_owner": claims.owner, "rt_container": claims.containers,
            "rt_loss": claims.losses, "rt_stream": claims.streams, "rt_counter": claims.counters, "prog list": claims.programs,
            "sysctl": lambda out: None, "reqtap doctor": lambda out: None,
            "reqtap status": claims.status,
        }
        unpin = [c for c in commands() if "--unpin" in c]
        for command in [c for c in commands() if c not in unpin]:
            check = [f for words, f in checks.items() if words in command]
            assert len(check) == 1, f"no check for {command}"
            check[0](run(command, pins))
        agent.stop()
        assert os.path.exists(pins)
        run(unpin[0], pins)
        assert not os.path.exists(pins)


tap.main()
