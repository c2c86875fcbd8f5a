#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The destination: stored, mounted, rotated, tested, removed; and the credential unseen."""
import base64
import signal
import subprocess
import time
from pathlib import Path

from export_rig import (BUILD, ROOT, Fault, Receiver, Ship, certificate, check, complete,
                        doubled, environment, lost, main)

SECRET = "zq8-very-secret-value-4711"
CONNECTION = BUILD / "bench" / "connection"


def connection(folder, *arguments, value=None, status=0):
    done = subprocess.run([str(CONNECTION), *arguments, "--state-dir", str(folder)],
                          input=value or "", env=environment(), text=True, capture_output=True,
                          timeout=60, check=False)
    output = done.stdout + done.stderr
    check(done.returncode == status, f"{arguments}: status {done.returncode}: {output}")
    check(SECRET not in output, "the value is shown")
    return output


def set_connection(folder, url, value=SECRET, *more):
    return connection(folder, "set", "--endpoint", url, "--header-name", "x-key",
                      "--header-value-file", "-", *more, value=value)


def test_set_show_test(folder):
    """set, show, test; accepted, refused with its words, unreachable"""
    with Receiver(credentials=("x-key", {SECRET})) as receiver:
        set_connection(folder, receiver.url)
        shown = connection(folder, "show")
        check(receiver.url in shown and "x-key: (hidden)" in shown, shown)
        check("accepted (200)" in connection(folder, "test"), "not accepted")
        check(receiver.records()[0]["body"] == "reqtap: connection test", receiver.records())
        set_connection(folder, receiver.url, "wrong")
        said = connection(folder, "test", status=1)
        check("refused (401): invalid credential" in said, said)
        receiver.fault = Fault.parse("redirect=http://127.0.0.1:1/")
        set_connection(folder, receiver.url)
        check("refused (307)" in connection(folder, "test", status=1), "redirect")
    said = connection(folder, "test", status=1)
    check("unreachable: nothing answers" in said, said)
    for name in ("key", "connection"):
        check((folder / name).stat().st_mode & 0o777 == 0o600, f"mode of {name}")


def test_bad_input(folder):
    """bad input is one line and status 2"""
    for arguments in (["set"], ["set", "--endpoint", "nonsense"], ["set", "--endpoint", "ftp://a"],
                      ["set", "--endpoint", "http://u:p@h/"], ["set", "--vendor", "nobody"],
                      ["set", "--vendor", "grafana"], ["frob"], ["set", "--frob"],
                      ["set", "--endpoint", "http://a/", SECRET],
                      ["set", "--endpoint", "http://a/", "--compression", "lzma"],
                      ["set", "--endpoint", "http://a/", "--header-name", "a b"]):
        said = connection(folder, *arguments, value="v", status=2)
        check(said.count("\n") == 1, said)
    connection(folder, "show", status=1)


def test_edits_apply(folder):
    """a running agent takes set, another set and remove within a second; no backfill"""
    with Receiver() as one, Receiver() as two:
        ship = Ship(environment(), state_dir=folder, lines=200000, rate=1000)
        time.sleep(0.5)
        set_connection(folder, one.url)
        check(one.wait_for(1, 2) > 0, "not taken up")
        set_connection(folder, two.url)
        check(two.wait_for(1, 2) > 0, "the change was not taken up")
        time.sleep(0.5)
        connection(folder, "remove")
        time.sleep(0.5)
        count = two.stats()["records"]
        time.sleep(0.7)
        check(two.stats()["records"] == count, "exports go on after remove")
        ship.kill()
        check(not set(r["body"] for r in one.records()) & set(r["body"] for r in two.records()),
              "doubled at the change")


def test_remove_drop(folder):
    """remove keeps or drops what waits"""
    for flag, arrive in ((), 500), (("--drop",), 0):
        state = folder / ("drop" if flag else "keep")
        with Receiver(fault="503") as receiver:
            set_connection(state, receiver.url)
            Ship(environment(), state_dir=state, lines=500, rate=0, drain_ms=200).result()
            connection(state, "remove", *flag)
            receiver.fault = Fault()
            set_connection(state, receiver.url)
            Ship(environment(), state_dir=state, first=500, lines=501).result()
            check(receiver.stats()["records"] == arrive + 1, f"{flag}: {receiver.stats()}")


def write_secret(folder, url, value):
    """As a kubelet does: a new directory, then one rename of the link to it."""
    version = folder / f"..{time.time_ns()}"
    version.mkdir(parents=True)
    for name, text in (("endpoint", url), ("header-name", "x-key"), ("header-value", value + "\n")):
        (version / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..tmp").symlink_to(version.name)
    (folder / "..tmp").rename(folder / "..data")


def test_rotation(folder):
    """50 rotations of a mounted credential under load: none lost, none doubled"""
    mount = folder / "mount"
    with Receiver(credentials=("x-key", {"value-0"})) as receiver:
        write_secret(mount, receiver.url, "value-0")
        ship = Ship(environment(), secret_dir=mount, state_dir=folder / "state", lines=22000,
                    rate=1000, replicas=5, drain_ms=30000)
        for number in range(1, 51):
            time.sleep(0.4)
            # The receiver forgets the old one at once, before or after the new one is mounted.
            if number % 2:
                receiver.credentials = ("x-key", {f"value-{number}"})
                time.sleep(0.02)
                write_secret(mount, receiver.url, f"value-{number}")
            else:
                write_secret(mount, receiver.url, f"value-{number}")
                time.sleep(0.02)
                receiver.credentials = ("x-key", {f"value-{number}"})
        result = ship.result()
        complete(receiver.records(), 22000)
    check(result["refused"] == 0, result)


def search(data, where):
    check(SECRET.encode() not in data, f"the credential is in {where}")
    check(base64.b64encode(SECRET.encode()) not in data, f"the credential is in {where}")


def proc_entries(pid):
    for name in ("cmdline", "environ", "maps", "status", "comm", "stat", "limits", "mountinfo"):
        yield Path(f"/proc/{pid}/{name}")


def test_secret_unseen(folder):
    """the credential is in no output, state file, /proc entry or core"""
    state = folder / "state"
    with Receiver(fault="401,message=no") as receiver:
        set_connection(state, receiver.url)
        ship = Ship(environment(), state_dir=state, lines=100000, rate=500)
        time.sleep(1.2)
        receiver.fault = Fault()
        check(receiver.wait_for(100, 5) >= 100, "nothing arrives")
        check(receiver.last_headers["x-key"] == SECRET, "another credential")
        pid = ship.process.pid
        for entry in proc_entries(pid):
            search(entry.read_bytes(), entry)
        ship.process.send_signal(signal.SIGABRT)
        out, err = ship.process.communicate(timeout=10)
    check(ship.process.returncode == -signal.SIGABRT, "it did not abort")
    search((out + err).encode(), "its output")
    files = [p for p in state.rglob("*") if p.is_file()]
    cores = list(ROOT.glob("core*"))
    check(len(files) >= 3, files)
    for file in files + cores:
        search(file.read_bytes(), file)


def test_key_mode(folder):
    """a key that others may read is refused, a changed connection too"""
    set_connection(folder, "http://127.0.0.1:1/v1/logs")
    (folder / "key").chmod(0o644)
    check("others may read it" in connection(folder, "show", status=1), "mode")
    (folder / "key").chmod(0o600)
    data = bytearray((folder / "connection").read_bytes())
    data[-1] ^= 1
    (folder / "connection").write_bytes(data)
    check("damaged" in connection(folder, "show", status=1), "changed")


def test_tls(folder):
    """https: an unknown authority is refused, a given one and a client certificate work"""
    authority = certificate(folder, "authority")[0]
    server = certificate(folder, "server", "authority")
    client = certificate(folder, "client", "authority")
    with Receiver(tls=server, client_ca=authority) as receiver:
        set_connection(folder, receiver.url)
        check("TLS trouble: its certificate is not trusted" in
              connection(folder, "test", status=1), "not refused")
        set_connection(folder, receiver.url, SECRET, "--ca", authority)
        check("accepted" not in connection(folder, "test", status=1), "no client certificate")
        set_connection(folder, receiver.url, SECRET, "--ca", authority, "--client-cert", client[0],
                       "--client-key", client[1])
        check("accepted (200)" in connection(folder, "test"), "mutual TLS")
        Ship(environment(), state_dir=folder, lines=1000, rate=5000, replicas=5).result()
        check(lost([r for r in receiver.records() if r["body"].startswith("line")], 1000) == 0,
              "lost")
        check(doubled(receiver.records()[1:]) == 0, "doubled")


def test_vendors(folder):
    """each vendor's path, header, content type and encoding"""
    basic = "Basic " + base64.b64encode(b"12345:" + SECRET.encode()).decode()
    values = {"honeycomb": SECRET, "datadog": SECRET, "grafana": basic, "newrelic": SECRET,
              "sentry": "sentry sentry_key=" + SECRET, "loki": None, "elastic": "ApiKey " + SECRET,
              "collector": None}
    paths = {"grafana": "/otlp/v1/logs", "loki": "/otlp/v1/logs",
             "sentry": "/api/42/integration/otlp/v1/logs"}
    for name, value in values.items():
        with Receiver(vendor=name) as receiver:
            url = f"http://127.0.0.1:{receiver.port}{paths.get(name, '/v1/logs')}"
            connection(folder, "set", "--vendor", name, "--endpoint", url, value=value)
            check("accepted" in connection(folder, "test"), name)


main(globals())
