#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The way to the destination through real programs: nginx with HTTP/2, TLS and client certificates, a
proxy, systemd's credentials."""
import base64
import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from export_rig import Fault, Receiver, Ship, certificate, check, complete, environment, main

NGINX = """
user root;
daemon off;
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ }}
http {{
    access_log {folder}/access.log combined;
    log_format seen '$server_protocol $status $request_length $ssl_client_verify $http_user_agent';
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        access_log {folder}/access.log seen;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        {more}
        location / {{ proxy_pass http://127.0.0.1:{to}; }}
    }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"nothing listens on {port}")


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def running(*command, port):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        listens(port)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def nginx(folder, receiver, more=""):
    """nginx before the receiver; gives its URL and the file of what it saw."""
    certificate(folder, "authority")
    server, key = certificate(folder, "server", "authority")
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, certificate=server, key=key, more=more,
                                                    to=receiver.port))
    with running("/usr/sbin/nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf"), port=port):
        yield f"https://127.0.0.1:{port}/v1/logs", folder / "access.log"


def ship(url, lines=3000, more=None, **settings):
    env = environment(**settings)
    env.update(more or {}, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=url)
    return Ship(env, lines=lines, rate=6000, replicas=5).result()


def seen(log):
    time.sleep(0.1)
    return [line.split(" ", 4) for line in log.read_text().splitlines()]


def test_http2(folder):
    """nginx: HTTP/2 over one verified TLS connection, with a proper User-Agent"""
    with Receiver() as receiver, nginx(folder, receiver) as (url, log):
        ship(url, CERTIFICATE=str(folder / "authority.crt"))
        complete(receiver.records(), 3000)
        requests = seen(log)
        check(requests and all(r[0] == "HTTP/2.0" and r[1] == "200" for r in requests), requests)
        check(all(r[4].startswith("reqtap/") for r in requests), requests)


def test_http1(folder):
    """a TLS server without HTTP/2: HTTP/1.1, kept alive"""
    with Receiver() as receiver, nginx(folder, receiver) as (url, log):
        text = (folder / "nginx.conf").read_text()
        (folder / "nginx.conf").write_text(text.replace(" http2;", ";"))
        pid = int((folder / "nginx.pid").read_text())
        os.kill(pid, 1)
        time.sleep(0.5)
        ship(url, CERTIFICATE=str(folder / "authority.crt"))
        complete(receiver.records(), 3000)
        check(all(r[0] == "HTTP/1.1" and r[1] == "200" for r in seen(log)), seen(log))


def test_client_certificate(folder):
    """nginx asks for a client certificate: without it refused, with it accepted"""
    more = f"ssl_client_certificate {folder}/authority.crt; ssl_verify_client on;"
    with Receiver() as receiver, nginx(folder, receiver, more) as (url, log):
        client, key = certificate(folder, "client", "authority")
        without = ship(url, lines=10, CERTIFICATE=str(folder / "authority.crt"))
        check(without["refused"] == 10 and without["last_status"] == 400, without)
        ship(url, CERTIFICATE=str(folder / "authority.crt"), CLIENT_CERTIFICATE=client, CLIENT_KEY=key)
        complete(receiver.records(), 3000)
        check(seen(log)[-1][3] == "SUCCESS", seen(log)[-1])


def test_body_limit(folder):
    """nginx's own 413: batches are split until they pass"""
    with Receiver() as receiver, nginx(folder, receiver, "client_max_body_size 2k;") as (url, log):
        result = ship(url, CERTIFICATE=str(folder / "authority.crt"))
        complete(receiver.records(), 3000)
        check(any(r[1] == "413" for r in seen(log)) and result["lost"] == 0, result)


def test_upstream_gone(folder):
    """nginx answers 502 while what is behind it is away: tried again, none lost"""
    with Receiver() as receiver:
        port = receiver.port
        with nginx(folder, receiver) as (url, log):
            receiver.__exit__(None, None, None)
            env = environment(CERTIFICATE=str(folder / "authority.crt"))
            env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] = url
            running_ship = Ship(env, lines=3000, rate=3000, replicas=5, drain_ms=20000)
            end = time.monotonic() + 20
            while " 502 " not in log.read_text() and time.monotonic() < end:
                time.sleep(0.05)
            with Receiver(port=port) as second:
                running_ship.result()
                complete(second.records(), 3000)
            check(any(r[1] == "502" for r in seen(log)), seen(log))


TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
LogFile "{folder}/proxy.log"
LogLevel Connect
ConnectPort {to}
{more}
"""


@contextmanager
def proxy(folder, to, more=""):
    port = free_port()
    (folder / "tinyproxy.conf").write_text(TINYPROXY.format(folder=folder, port=port, to=to, more=more))
    with running("/usr/bin/tinyproxy", "-d", "-c", str(folder / "tinyproxy.conf"), port=port):
        yield f"http://127.0.0.1:{port}", folder / "proxy.log"


def test_proxy(folder):
    """a proxy: CONNECT to an https destination, by HTTPS_PROXY; NO_PROXY leaves it out"""
    with Receiver() as receiver, nginx(folder, receiver) as (url, _):
        port = int(url.split(":")[2].split("/")[0])
        with proxy(folder, port) as (via, log):
            ship(url, more={"HTTPS_PROXY": via}, CERTIFICATE=str(folder / "authority.crt"))
            complete(receiver.records(), 3000)
            check(f"CONNECT 127.0.0.1:{port}" in log.read_text(), log.read_text()[-500:])
            before = log.read_text().count("CONNECT 127")
            ship(url, lines=10, more={"HTTPS_PROXY": via, "NO_PROXY": "127.0.0.1"},
                 CERTIFICATE=str(folder / "authority.crt"))
            check(log.read_text().count("CONNECT 127") == before, "it went through the proxy")


def wrong_then_right(env, variable, via, folder, words):
    """3,000 lines by a proxy; with a wrong password first, when the first 10 wait and `words` are said."""
    env[variable] = via.replace("//", "//user:wrong-4712@")
    bad = Ship(env, lines=10, rate=0, state_dir=folder / "state", drain_ms=1000)
    check(bad.result()["left"] == 10 and words in bad.stderr, bad.stderr)
    check("wrong-4712" not in bad.stderr, bad.stderr)
    env[variable] = via.replace("//", "//user:pass-4711@")
    Ship(env, first=10, lines=3000, rate=6000, replicas=5, state_dir=folder / "state").result()


def test_proxy_password(folder):
    """a proxy that wants a password: it is given; a wrong one is told, not shown, and nothing lost"""
    with Receiver() as receiver, nginx(folder, receiver) as (url, _):
        port = int(url.split(":")[2].split("/")[0])
        with proxy(folder, port, "BasicAuth user pass-4711") as (via, _):
            env = environment(CERTIFICATE=str(folder / "authority.crt"))
            env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] = url
            wrong_then_right(env, "https_proxy", via, folder, "CONNECT tunnel failed")
            complete(receiver.records(), 3000)


SQUID = """
http_port 127.0.0.1:{port}
pid_filename {folder}/squid.pid
cache_log {folder}/cache.log
access_log stdio:{folder}/squid.log
buffered_logs off
cache deny all
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
{access}
"""
PASSWORD = """
auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/users
acl known proxy_auth REQUIRED
http_access allow known
"""


@contextmanager
def squid(folder, access="http_access allow all"):
    """It gives up root, and so has a folder of its own. With PASSWORD as `access`: of "user", "pass-4711"."""
    port, own = free_port(), folder / f"squid{time.monotonic_ns()}"
    own.mkdir()
    shutil.chown(own, "proxy")
    folder.chmod(0o711)
    (own / "squid.conf").write_text(SQUID.format(folder=own, port=port, access=access.format(folder=own)))
    hashed = subprocess.run(["openssl", "passwd", "-apr1", "pass-4711"], check=True, capture_output=True, text=True).stdout
    (own / "users").write_text("user:" + hashed)
    command = ["/usr/sbin/squid", "-N", "-n", f"reqtap{port}", "-f", str(own / "squid.conf")]
    with running(*command, port=port) as process:
        yield f"http://127.0.0.1:{port}", own / "squid.log", process


def test_squid(folder):
    """squid: CONNECT to an https destination, a plain request to an http one"""
    with Receiver() as receiver, nginx(folder, receiver) as (url, _), squid(folder) as (via, log, _):
        ship(url, more={"HTTPS_PROXY": via}, CERTIFICATE=str(folder / "authority.crt"))
        complete(receiver.records(), 3000)
        host = url.split("/")[2]
        check(wait_for(lambda: f"CONNECT {host}" in log.read_text()), log.read_text()[-500:])
    with Receiver() as receiver, squid(folder) as (via, log, _):
        ship(receiver.url, more={"http_proxy": via})
        complete(receiver.records(), 3000)
        check(wait_for(lambda: "/200 " in log.read_text() and f"POST {receiver.url}" in log.read_text()), log.read_text()[-500:])
        check("CONNECT" not in log.read_text(), "a tunnel for what needs none")


def test_squid_password(folder):
    """squid wants a password, without a tunnel: its 407 is no receiver's refusal, nothing is lost"""
    with Receiver() as receiver, squid(folder, PASSWORD) as (via, _, _):
        env = environment(receiver)
        wrong_then_right(env, "http_proxy", via, folder, "the proxy wants a user and password")
        complete(receiver.records(), 3000)


def test_squid_trouble(folder):
    """squid while its destination is away, and squid itself away: tried again, none lost"""
    with Receiver() as receiver, squid(folder) as (via, log, process):
        env = environment(receiver)
        env["http_proxy"] = via
        port = receiver.port
        receiver.__exit__(None, None, None)
        running_ship = Ship(env, lines=3000, rate=3000, replicas=5, drain_ms=30000)
        check(wait_for(lambda: "/503 " in log.read_text()), log.read_text()[-500:])
        process.kill()
        process.wait(timeout=10)
        time.sleep(1)
        with Receiver(port=port) as second, running(*process.args, port=int(via.split(":")[2])):
            running_ship.result()
            complete(second.records(), 3000)


def test_systemd(folder):
    """systemd's credentials: a directory that CREDENTIALS_DIRECTORY names, files of mode 0400"""
    with Receiver(credentials=("x-key", {"from-systemd"})) as receiver:
        given = {"endpoint": receiver.url, "header-name": "x-key", "header-value": "from-systemd",
                 "retry-codes": "429,500,503"}
        for name, text in given.items():
            (folder / name).write_text(text, encoding="ascii")
            (folder / name).chmod(0o400)
        folder.chmod(0o500)
        receiver.fault = Fault.parse("500,count=3")
        env = environment()
        env["CREDENTIALS_DIRECTORY"] = str(folder)
        result = Ship(env, lines=2000, rate=4000, replicas=5, drain_ms=20000).result()
        complete(receiver.records(), 2000)
        check(result["refused"] == 0 and result["retried"] == 3, result)


def test_retry_codes(folder):
    """REQTAP_EXPORT_RETRY_CODES: what is on it is tried again, what is not is refused"""
    with Receiver(fault="503,count=2") as receiver:
        env = environment(receiver)
        env["REQTAP_EXPORT_RETRY_CODES"] = "500"
        result = Ship(env, lines=10, rate=0).result()
        check(result["refused"] == 10, result)
        env["REQTAP_EXPORT_RETRY_CODES"] = "50,x"
        bad = Ship(env, lines=10, rate=0, drain_ms=100)
        bad.process.kill()
        said = bad.process.communicate(timeout=10)[1]
        check("REQTAP_EXPORT_RETRY_CODES: '50,x' is no list" in said or not said, said)


def test_environ_scrubbed(folder):
    """a credential of the environment is gone from /proc once it is read, and works"""
    secret = "env-secret-value-4711"
    with Receiver(credentials=("x-key", {secret})) as receiver:
        env = environment(receiver, HEADERS=f"x-key={secret}")
        running_ship = Ship(env, lines=1000000, rate=500)
        check(receiver.wait_for(100, 10) >= 100, "nothing arrives")
        entries = Path(f"/proc/{running_ship.process.pid}")
        for name in ("environ", "cmdline", "maps", "status"):
            check(secret.encode() not in (entries / name).read_bytes(), name)
        time.sleep(1.2)  # the sources are looked at again
        count = receiver.stats()["records"]
        check(receiver.wait_for(count + 100, 10) >= count + 100, "it ended")
        running_ship.kill()
    check(base64.b64encode(secret.encode()) not in json.dumps(receiver.records()).encode(), "in a record")


main(globals())
