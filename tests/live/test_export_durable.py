#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What survives: the agent's death, a full, read-only or damaged disk, the outbox at its bound.

KILLS=200 for the long run.
"""
import os
import random
import re
import struct
import subprocess
import time

from export_rig import (Fault, Receiver, Ship, check, complete, doubled, environment, in_order,
                        lost, main, notices, numbers)

KILLS = int(os.environ.get("KILLS", "20"))


def acked(path):
    return struct.unpack("=Q", path.read_bytes())[0] if path.exists() else 0


def test_kill(folder):
    """kill -9 at random under load: none lost, at most a batch doubled each time"""
    random.seed(6)
    lines, acks = KILLS * 400, folder / "acked"
    with Receiver() as receiver:
        for _ in range(KILLS):
            ship = Ship(environment(receiver), state_dir=folder / "state", lines=lines, rate=1000,
                        first=acked(acks), acked=acks, replicas=5)
            time.sleep(random.uniform(0.02, 0.5))
            ship.kill()
        Ship(environment(receiver), state_dir=folder / "state", lines=lines, rate=0,
             first=acked(acks), acked=acks, replicas=5).result()
        records = receiver.records()
    check(lost(records, lines) == 0, f"{lost(records, lines)} lost")
    # A batch holds what comes in 200 ms.
    check(doubled(records) <= KILLS * 200, f"{doubled(records)} doubled in {KILLS} kills")
    print(f"# {KILLS} kills, {lines} lines, 0 lost, {doubled(records)} doubled")


def test_restart_in_outage(folder):
    """what was put in an outage is sent by the next run, once and in order"""
    with Receiver(fault="503") as receiver:
        first = Ship(environment(receiver), state_dir=folder, lines=2000, rate=0, replicas=5,
                     drain_ms=300).result()
        check(first["left"] == 2000 and first["on_disk"], first)
        receiver.fault = Fault()
        Ship(environment(receiver), state_dir=folder, first=2000, lines=3000, rate=0,
             replicas=5).result()
        complete(receiver.records(), 3000)


def announced(records):
    return sum(int(re.search(r"reqtap: (\d+) records", r["body"])[1]) for r in notices(records))


def test_bound(folder):
    """outbox at its bound: lost is what the counter and the announcing records say"""
    with Receiver(fault="503") as receiver:
        first = Ship(environment(receiver), state_dir=folder, lines=20000, rate=5000, replicas=5,
                     drain_ms=100, outbox_bytes=60000).result()
        receiver.fault = Fault()
        Ship(environment(receiver), state_dir=folder, first=20000, lines=20001).result()
        records = receiver.records()
    gone = lost(records, 20001)
    check(gone == first["dropped_full"] > 0, f"{gone} lost, counted {first['dropped_full']}")
    check(gone == announced(records), f"{gone} lost, announced {announced(records)}")
    check(doubled(records) == 0 and in_order(records), "doubled or out of order")


def test_memory_bound(folder):
    """the same without a state directory"""
    with Receiver(fault="503") as receiver:
        ship = Ship(environment(receiver), lines=20000, rate=8000, replicas=5, drain_ms=60000,
                    memory_bytes=60000)
        time.sleep(2.6)
        receiver.fault = Fault()
        result = ship.result()
        records = receiver.records()
    gone = lost(records, 20000)
    check(gone == result["dropped_full"] > 0, f"{gone} lost, counted {result['dropped_full']}")
    check(gone == announced(records), f"{gone} lost, announced {announced(records)}")
    check(doubled(records) == 0 and in_order(records), "doubled or out of order")


def test_age(folder):
    """payloads older than the bound of age are dropped, counted and announced"""
    with Receiver(fault="503") as receiver:
        first = Ship(environment(receiver), state_dir=folder, lines=1000, rate=0,
                     drain_ms=200).result()
        check(first["left"] == 1000, first)
        time.sleep(1)
        second = Ship(environment(receiver), state_dir=folder, first=1000, lines=1001,
                      outbox_age_ms=1000, drain_ms=2500).result()
        check(second["dropped_age"] >= 1000, second)
        receiver.fault = Fault()
        Ship(environment(receiver), state_dir=folder, first=1001, lines=1002).result()
        records = receiver.records()
    check(announced(records) == second["dropped_age"], f"announced {announced(records)}")


def mounted(folder, size):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "reqtap-test", str(folder)],
                   check=True)


def test_disk_full(folder):
    """a full disk, free again: it goes on from memory, says so, recovers; none lost"""
    result, said = disk_full(folder, "12m")
    check(result["on_disk"] and "usable again" in said, said)


def test_disk_full_of_log(folder):
    """the same where the outbox's own log fills the disk"""
    disk_full(folder, "2m")


def disk_full(folder, size):
    disk = folder / "disk"
    disk.mkdir()
    mounted(disk, size)
    try:
        filler = disk / "filler"
        with Receiver(fault="503") as receiver:
            ship = Ship(environment(receiver), state_dir=disk / "state", lines=12000, rate=2000,
                        replicas=5, drain_ms=20000)
            time.sleep(1)
            with open(filler, "wb", buffering=0) as out:
                try:
                    while True:
                        out.write(b"x" * 4096)
                except OSError:
                    pass
            time.sleep(3)
            filler.unlink()
            time.sleep(1.5)
            receiver.fault = Fault()
            result = ship.result()
            records = receiver.records()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
    complete(records, 12000)
    check(result["disk_faults"] > 0 and result["waiting"] == 0, result)
    check("from memory" in ship.stderr, ship.stderr)
    return result, ship.stderr


def test_read_only(folder):
    """a state directory that cannot be written: memory, and it says so"""
    disk = folder / "disk"
    disk.mkdir()
    mounted(disk, "1m")
    try:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with Receiver() as receiver:
            ship = Ship(environment(receiver), state_dir=disk / "state", lines=2000, rate=4000)
            result = ship.result()
            complete(receiver.records(), 2000)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
    check(not result["on_disk"] and "from memory" in ship.stderr, ship.stderr)


def test_damaged(folder):
    """a damaged outbox is set aside, not deleted, and a new one begun"""
    damaged = b"this is no database " * 300
    (folder / "outbox.db").write_bytes(damaged)
    with Receiver() as receiver:
        ship = Ship(environment(receiver), state_dir=folder, lines=1000, rate=4000)
        result = ship.result()
        complete(receiver.records(), 1000)
    aside = list(folder.glob("outbox.db.damaged-*"))
    check(len(aside) == 1 and aside[0].read_bytes() == damaged, aside)
    check(result["on_disk"] and result["set_aside"] == 1 and "damaged" in ship.stderr, result)


def test_second_process(folder):
    """two processes with one state directory: the second goes on from memory"""
    with Receiver() as receiver:
        first = Ship(environment(receiver), state_dir=folder, lines=1500, rate=1000)
        time.sleep(0.5)
        second = Ship(environment(receiver), state_dir=folder, first=5000, lines=5500, rate=0)
        result = second.result()
        first.result()
        seen = numbers(receiver.records())
    check(sorted(seen) == list(range(1500)) + list(range(5000, 5500)), "lost or doubled")
    check(not result["on_disk"] and "another reqtap" in second.stderr, second.stderr)


main(globals())
