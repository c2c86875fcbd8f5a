#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The receiver's faults: what is lost and what is doubled. Needs no BPF."""
import threading
import time

from export_rig import Fault, Receiver, Ship, check, complete, doubled, environment, lost, main, numbers


def end_fault(receiver, after):
    """No fault any more, `after` seconds after the first request."""
    end = time.monotonic() + 30
    while receiver.stats()["requests"] == 0 and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(after)
    receiver.fault = Fault()


def with_fault(folder, fault, lines=3000, rate=1000, after=1.5, doubles=0, **settings):
    """Ships while the receiver has the fault for `after` seconds, then none."""
    folder.mkdir(exist_ok=True)
    with Receiver(fault=fault) as receiver:
        ship = Ship(environment(receiver, **settings), lines=lines, rate=rate, replicas=7,
                    state_dir=folder, drain_ms=30000)
        timer = threading.Thread(target=end_fault, args=(receiver, after))
        timer.start()
        result = ship.result()
        timer.join()
        records, stats = receiver.records(), receiver.stats()
    complete(records, lines, doubles)
    check(result["left"] == 0, f"{result['left']} left in the outbox")
    return result, stats, records


def test_none(folder):
    """no fault: all arrive once, in order, with resource and attributes"""
    result, _, records = with_fault(folder, "")
    first = records[0]
    check(first["resource"] == {"service.name": "baseten"}, first["resource"])
    check(set(first["attributes"]) == {"message", "request_id", "replica", "model_id",
                                       "model_version_id", "environment"}, first["attributes"])
    check(first["scope"] == "reqtap.serving", first["scope"])
    check(first["severity_number"] == 9 and first["severity_text"] == "INFO", "severity")
    check(result["sent"] == 3000 and result["retried"] == 0, result)


def test_outage(folder):
    """503 for 6 s (ten minutes scaled a hundredfold): none lost, none doubled"""
    result, stats, _ = with_fault(folder, "503", lines=8000, after=6)
    check(result["retried"] > 0, "there was no retry")
    check(stats["status_503"] < 100, f"{stats['status_503']} requests into the outage")


def test_retry_after_seconds(folder):
    """429 with Retry-After: 2: it is waited for"""
    _, stats, _ = with_fault(folder, "429,retry-after=2", after=1)
    check(1 <= stats["status_429"] <= 6, f"{stats['status_429']} requests into the wait")


def test_retry_after_date(folder):
    """429 with Retry-After as a date"""
    _, stats, _ = with_fault(folder, "429,retry-after=date:3", after=1)
    check(1 <= stats["status_429"] <= 6, f"{stats['status_429']} requests into the wait")


def test_gateway(folder):
    """502 and 504 are tried again"""
    with_fault(folder, "502,count=2")
    with_fault(folder / "second", "504,count=2")


def test_reset(folder):
    """resets in the middle of the body"""
    with_fault(folder, "reset,every=3", after=3)


def test_drop(folder):
    """connections closed without an answer"""
    with_fault(folder, "drop,every=4", after=3)


def test_stall(folder):
    """stalls beyond the timeout"""
    with_fault(folder, "stall=5,count=3", after=4, LOGS_TIMEOUT="500")


def test_slow(folder):
    """a slow reader"""
    with_fault(folder, "slow=0.6,every=2", after=3)


def test_lost_ack(folder):
    """an answer that is lost doubles its batch and no more"""
    with_fault(folder, "lost-ack,count=1", doubles=1000)


def test_refused_connection(folder):
    """nobody listens for 3 s"""
    with Receiver() as receiver:
        port = receiver.port
    env = environment()
    env["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
    ship = Ship(env, lines=4000, rate=1000, replicas=7, state_dir=folder, drain_ms=30000)
    time.sleep(3)
    with Receiver(port=port) as receiver:
        result = ship.result()
        records = receiver.records()
    complete(records, 4000)
    check("Connection refused" in ship.stderr or "connect to" in ship.stderr, ship.stderr)
    check(result["sent"] == 4000, result)


def test_413(folder):
    """413 over 600 bytes: batches are split until they fit"""
    result, _, _ = with_fault(folder, "413over=600", lines=1500, after=60)
    check(result["lost"] == 0, result)


def test_413_one_record(folder):
    """413 to a record alone: counted as lost, the others arrive"""
    with Receiver(fault="413over=1") as receiver:
        result = Ship(environment(receiver), lines=100, state_dir=folder).result()
        check(receiver.records() == [], "accepted?")
    check(result["lost"] == 100 and result["left"] == 0, result)


def refused(folder, status):
    with Receiver(fault=f"{status},message=because of {status}") as receiver:
        ship = Ship(environment(receiver), lines=1000, rate=2000, state_dir=folder)
        result = ship.result()
        requests = receiver.stats()["requests"]
    check(result["refused"] == 1000 and result["left"] == 0, f"{status}: {result}")
    check(result["last_status"] == status, result)
    check(result["requests"] == requests, "a refused request was sent again")
    check(f"{status}: because of {status}" in ship.stderr, f"not shown: {ship.stderr}")


def test_refused(folder):
    """500, 400, 401, 403, 404: refused for good, counted, shown with the receiver's words"""
    for status in (500, 400, 401, 403, 404):
        refused(folder / str(status), status)


def test_partial(folder):
    """partial success: the rejected are counted, nothing is sent again"""
    with Receiver(fault="partial=2,count=3") as receiver:
        result = Ship(environment(receiver), lines=1000, rate=2000, state_dir=folder).result()
        records = receiver.records()
    check(result["rejected"] > 0, result)
    check(lost(records, 1000) == result["rejected"], f"{lost(records, 1000)} {result}")
    check(result["sent"] == 1000 - result["rejected"] and doubled(records) == 0, result)


def test_redirect(folder):
    """a redirect is not followed: the credential stays"""
    with Receiver() as other, Receiver(fault=f"redirect={other.url}") as receiver:
        result = Ship(environment(receiver), lines=10, state_dir=folder).result()
        check(other.stats()["requests"] == 0, "it was followed")
    check(result["refused"] == 10 and result["last_status"] == 307, result)


def test_large_answer(folder):
    """an answer of more than 4 MiB is not read"""
    with Receiver(fault="big=6000000") as receiver:
        result = Ship(environment(receiver), lines=10, state_dir=folder).result()
    check(result["refused"] == 10 and result["rss_kib"] < 60000, result)


def test_headers(folder):
    """headers are percent-decoded; User-Agent, encoding and path are as they should be"""
    with Receiver() as receiver:
        env = environment(LOGS_HEADERS="authorization=Basic%20abc%3D,x-two = second")
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{receiver.port}/base"
        Ship(env, lines=10, state_dir=folder).result()
        headers, path = receiver.last_headers, receiver.last_path
    check(headers["authorization"] == "Basic abc=" and headers["x-two"] == "second", headers)
    check(headers["User-Agent"].startswith("reqtap/"), headers)
    check("OTel-OTLP-Exporter-C/" in headers["User-Agent"], headers)
    check(headers["Content-Encoding"] == "gzip" and path == "/base/v1/logs", (headers, path))


def test_encodings(folder):
    """zstd and no compression"""
    for name in ("zstd", "none"):
        with Receiver() as receiver:
            Ship(environment(receiver, COMPRESSION=name), lines=500, rate=5000).result()
            complete(receiver.records(), 500)
            check(receiver.last_headers.get("Content-Encoding", "none") == name, name)


def test_latency(folder):
    """a line each 100 ms does not wait for its batch's age; `make bench T=latency` has the p99"""
    with Receiver() as receiver:
        Ship(environment(receiver), lines=60, rate=10, state_dir=folder).result()
        late = sorted((r["arrival_ns"] - r["time_unix_nano"]) / 1e6 for r in receiver.records())
    check(len(numbers(receiver.records())) == 60, "lines are missing")
    check(late[30] < 100, f"half of the lines wait {late[30]:.0f} ms, and a batch's age is 200 ms")
    print(f"# latency p50 {late[30]:.0f} ms, highest {late[-1]:.0f} ms")


main(globals())
