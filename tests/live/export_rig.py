# SPDX-License-Identifier: Apache-2.0
"""What the export tests share: `ship` runs with a receiver, and sums of what arrived."""
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from receiver import Fault, Receiver  # noqa: E402, F401

BUILD = Path(os.environ.get("REQTAP", ROOT / "build" / "reqtap")).resolve().parent
SHIP = BUILD / "bench" / "ship"


def certificate(folder, name, issuer=None):
    """A self-signed authority, or a certificate of `issuer` for 127.0.0.1."""
    key, cert = folder / f"{name}.key", folder / f"{name}.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout",
               str(key), "-out", str(cert), "-subj", f"/CN={name}"]
    if issuer:
        command += ["-CA", str(folder / f"{issuer}.crt"), "-CAkey", str(folder / f"{issuer}.key"),
                    "-addext", "subjectAltName=IP:127.0.0.1", "-addext",
                    "basicConstraints=critical,CA:FALSE"]
    subprocess.run(command, check=True, capture_output=True)
    return str(cert), str(key)


def environment(receiver=None, **settings):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("OTEL_", "REQTAP")) and k.lower() not in
           ("http_proxy", "https_proxy", "all_proxy")}
    if receiver:
        env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] = receiver.url
    env.update({f"OTEL_EXPORTER_OTLP_{k}": v for k, v in settings.items()})
    return env


class Ship:
    """A run of tests/bench/ship.c; .result() waits for it and returns its counters."""

    def __init__(self, env, **options):
        arguments = [str(SHIP)]
        for name, value in options.items():
            arguments += ["--" + name.replace("_", "-"), str(value)]
        self.process = subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.stderr = ""

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def result(self, timeout=120):
        out, self.stderr = self.process.communicate(timeout=timeout)
        if self.process.returncode != 0:
            raise RuntimeError(f"ship ended with {self.process.returncode}: {self.stderr}")
        return json.loads(out.splitlines()[-1])


def numbers(records):
    """Line numbers in order of arrival; notices are left out."""
    return [int(r["body"].split()[1]) for r in records if r["body"].startswith("line ")]


def notices(records):
    return [r for r in records if r["body"].startswith("reqtap:")]


def in_order(records):
    """Whether each replica's records arrived in order, repeats apart."""
    last, seen = {}, set()
    for record in records:
        if not record["body"].startswith("line ") or record["body"] in seen:
            continue
        seen.add(record["body"])
        number, replica = int(record["body"].split()[1]), record["attributes"]["replica"]
        if number < last.get(replica, -1):
            return False
        last[replica] = number
    return True


def lost(records, lines):
    return len(set(range(lines)) - set(numbers(records)))


def doubled(records):
    return sum(count - 1 for count in Counter(numbers(records)).values())


class Tap:
    """Runs functions as tests and prints TAP."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def run(self, function):
        self.count += 1
        name = function.__doc__.splitlines()[0]
        start = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="reqtap-export-") as folder:
                function(Path(folder))
            print(f"ok {self.count} - {name} ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception as err:  # a test's failure, whatever it is
            self.failed += 1
            print(f"not ok {self.count} - {name}: {type(err).__name__}: {err}", flush=True)

    def end(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


def main(functions):
    """Runs the `test_` ones of a module's globals."""
    tap = Tap()
    for name, function in sorted(functions.items()):
        if name.startswith("test_"):
            tap.run(function)
    tap.end()


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def complete(records, lines, doubles=0):
    check(lost(records, lines) == 0, f"{lost(records, lines)} of {lines} lines are lost")
    check(doubled(records) <= doubles, f"{doubled(records)} lines are doubled")
    check(in_order(records), "a replica's lines are out of order")
