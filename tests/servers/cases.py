# SPDX-License-Identifier: Apache-2.0
"""The table of cases: how a server starts, what it needs, what is expected of its lines.

`unit` is the evidence that its runtime should give; a case with `recall` 0 has no unit that is known
exactly, and is reported as it is. Precision must be 1 in every case.
"""
from dataclasses import dataclass, field, replace

PYTHON = "/usr/bin/python3"


@dataclass
class Case:
    name: str
    command: list  # {port}, {build} and {here} are filled in
    packages: list = field(default_factory=list)
    sources: list = field(default_factory=list)  # compiled into {build} before
    unit: str = "thread"
    recall: float = 0.99
    env: dict = field(default_factory=dict)
    access: int = 0  # lines that the server's own access log writes for a request
    options: dict = field(default_factory=dict)  # of load.py
    around: str = ""  # what a relay puts in front of each line and behind it: a regular expression
    copies: int = 1  # how many times each line is written: 2 where a relay repeats it


def gunicorn(name, *arguments, **settings):
    return Case(
        name,
        ["/usr/bin/gunicorn", "--chdir", "{here}", "--bind", "127.0.0.1:{port}", "--workers", "2",
         "--access-logfile", "-", "--graceful-timeout", "5", "wsgi:application", *arguments],
        ["gunicorn"], access=1, **settings)


def java(name, main, packages=(), classpath="", **settings):
    return Case(name, ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1",
                       "-Dsun.net.httpserver.nodelay=true", "-cp", "{build}" + classpath, main],
                ["openjdk-17-jdk-headless", *packages],
                [f"javac -encoding UTF-8 -d {{build}} -cp '{{build}}{classpath}' {{here}}/Truth.java {{here}}/{main}.java"],
                **settings)


def uvicorn(name, loop, route, **settings):
    return Case(name, [PYTHON, "{here}/fastapi_app.py"], ["python3-fastapi", "python3-uvicorn", "python3-uvloop", "python3-httptools"],
                unit="unit", env={"LOOP": loop, "ROUTE": route}, **{"access": 1, **settings})


def go(name, source, flags="", files="", **settings):
    return Case(name, ["{build}/" + source], ["golang-go"],
                [f"GO111MODULE=off GOCACHE={{build}}/../gocache go build {flags} -o {{build}}/{source} {{here}}/{source}.go {files}"],
                unit="unit", **settings)


# Those of `make check`: a thread serves one request at a time.
THREADS = [
    Case("python-threads", [PYTHON, "{here}/thread_http.py"], ["python3"], access=1),
    gunicorn("gunicorn-sync"),
    gunicorn("gunicorn-gthread", "--worker-class", "gthread", "--threads", "16"),
    Case("flask", [PYTHON, "{here}/flask_app.py"], ["python3-flask"], access=1),
    Case("cpp-httplib", ["{build}/httplib"], ["g++", "libcpp-httplib-dev"],
         ["g++ -O1 -o {build}/httplib {here}/httplib.cpp -lcpp-httplib -lpthread 2>/dev/null || "
          "g++ -O1 -o {build}/httplib {here}/httplib.cpp -lpthread"]),
    java("jdk-pool", "JdkServer"),
]

TOMCAT = [java("tomcat", "TomcatServer", ["libtomcat10-embed-java", "libjakarta-annotation-api-java"],
               ":/usr/share/java/tomcat10-embed-core.jar:/usr/share/java/jakarta-annotation-api.jar")]

# The lines of the engine, by their text, and of the front, by their thread.
ENGINE = [Case("zmq-engine", [PYTHON, "{here}/zmq_http.py"], ["python3-zmq"], unit="text", access=1)]

ASYNCIO = [
    uvicorn(f"uvicorn-{loop}-{route}", loop, route)
    for loop in ("asyncio", "uvloop")
    for route in ("plain", "pooled", "streaming", "background")
] + [
    uvicorn("uvicorn-lazy-task", "asyncio", "lazy", options={"linger_s": 2}),
    uvicorn("uvicorn-websocket", "asyncio", "websocket", access=0, options={"websocket": True}),
    Case("aiohttp", [PYTHON, "{here}/aiohttp_app.py"], ["python3-aiohttp"], unit="unit"),
    Case("tornado", [PYTHON, "{here}/tornado_app.py"], ["python3-tornado"], unit="unit"),
    Case("hypercorn", ["/usr/bin/hypercorn", "--bind", "127.0.0.1:{port}", "asgi_app:application"],
         ["python3-hypercorn"], unit="unit", env={"PYTHONPATH": "{here}"}),
]

GO = [
    go("go-net-http", "nethttp", options={"linger_s": 2}),
    go("go-stripped", "nethttp", "-ldflags='-s -w'"),
    go("go-pie-stripped", "nethttp", "-buildmode=pie -ldflags='-s -w -linkmode=external'"),
    # C code with thread locals of its own: g is elsewhere, and the text does not begin with Go's
    go("go-cgo-pie-stripped", "nethttp", "-buildmode=pie -ldflags='-s -w'", "{here}/locals.go"),
]

def php(name, around="", **env):
    return Case(f"php-fpm-{name}", ["{here}/php"], ["php-fpm", "nginx-light"], unit="relay",
                env={"HERE": "{here}", **env}, options={"call": False, **ROUGH}, around=around)


ROUGH = {"rough": True}  # slow handlers, clients that leave, resets

RELAYED = [
    Case("supervisord-nginx", ["{here}/supervised"], ["supervisor", "nginx-light"], unit="relay", access=1,
         env={"HERE": "{here}", "ONE_PIPE": "1"}),
    php("unix", SOCKET="unix", DECORATE="no"), php("tcp", SOCKET="tcp", DECORATE="no"),
    php("decorated", r'^\[[^]]+\] WARNING: \[pool case\] child \d+ said into stderr: "|"$', SOCKET="unix", DECORATE="yes"),
    Case("tee", [PYTHON, "{here}/relayed.py", "tee", "{build}/copy"], unit="relay", access=1, env={"ONE_PIPE": "1"}),
    Case("pipeline", [PYTHON, "{here}/relayed.py", "sed", "-u", "s/^/[app] /"], unit="relay", access=1,
         env={"ONE_PIPE": "1"}, around=r"^\[app\] "),
    Case("launcher", [PYTHON, "{here}/relayed.py"], unit="relay", access=1, env={"ONE_PIPE": "1"},
         around=r"^[0-9:]{8} \[worker-0\] "),
]

CERTIFICATE = ("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
               "-keyout {build}/key.pem -out {build}/cert.pem 2>/dev/null && "
               "cat {build}/key.pem {build}/cert.pem > {build}/both.pem")


def tls(case):
    """The same server behind OpenSSL."""
    return replace(case, name=case.name + "-tls", packages=[*case.packages, "openssl"],
                   sources=[*case.sources, CERTIFICATE], env={**case.env, "CERT": "{build}/both.pem"},
                   options={**case.options, "tls": True})


TLS = [
    tls(THREADS[0]),
    tls(gunicorn("gunicorn-gthread", "--worker-class", "gthread", "--threads", "16",
                 "--certfile", "{build}/both.pem")),
    tls(uvicorn("uvicorn-asyncio-plain", "asyncio", "plain")),
    tls(uvicorn("uvicorn-uvloop-plain", "uvloop", "plain")),
    tls(go("go-net-http", "nethttp")),
    tls(go("go-pie-stripped", "nethttp", "-buildmode=pie -ldflags='-s -w -linkmode=external'")),
]

def jars(*names):
    return "".join(f":/usr/share/java/{name}.jar" for name in names)


GRPC_METHOD = {"http2": True, "grpc": True, "method": "/reqtap.Calls/Do"}

# No unit of these is known exactly, or a part of their lines has none: right or none, never wrong.
REPORTED = [
    uvicorn("uvicorn-executor", "asyncio", "executor", recall=0),
    Case("gevent", [PYTHON, "{here}/gevent_app.py"], ["python3-gevent"], recall=0, access=1),
    Case("node-http", ["node", "{here}/node_http.js"], ["nodejs"], recall=0),
    # the newest that Debian's Node runs is named, so that it stays what was measured
    Case("grpc-node", ["node", "{here}/grpc_node.js"], ["nodejs", "python3-h2"],
         ["cd {build} && npm install --silent --no-fund --no-audit @grpc/grpc-js@1.9"], recall=0,
         env={"NODE_PATH": "{build}/node_modules"}, options=GRPC_METHOD),
    # Netty's thread sends what the pool's threads have worked on
    java("grpc-java", "GrpcServer", ["libgrpc-java", "libnetty-java", "libguava-java", "libperfmark-java", "python3-h2"],
         jars(*(f"grpc-{part}" for part in ("api", "context", "core", "netty", "stub")), "guava",
              "perfmark-api", "perfmark-impl",
              *(f"netty-{part}" for part in ("common", "buffer", "transport", "resolver", "handler", "codec", "codec-http",
                                             "codec-http2"))), recall=0, options={"http2": True, "grpc": True}),
    Case("node-express", ["node", "{here}/node_http.js"], ["nodejs", "node-express"], recall=0, env={"FRAMEWORK": "express", "NODE_PATH": "/usr/share/nodejs"}),
    Case("puma", ["/usr/bin/puma", "--bind", "tcp://127.0.0.1:{port}", "--threads", "16:16", "--quiet", "{here}/config.ru"],
         ["puma"], unit="handoff", recall=0.9),
    Case("lazy-threads", [PYTHON, "{here}/leak_http.py"], ["python3"], recall=0.6, access=1, options={"linger_s": 2}),
    go("go-lazy-pool", "lazypool", recall=0.45),
]


def pool(case, size, **settings):
    """The same server with so many threads, and clients that leave."""
    return replace(case, name=f"{case.name}-{size}", env={**case.env, "POOL": str(size)},
                   options={**case.options, **ROUGH}, **settings)


JETTY = java("jetty", "JettyServer", ["libjetty9-java", "libservlet-api-java"],
             jars("jetty9-server", "jetty9-http", "jetty9-io", "jetty9-util", "servlet-api"))
NETTY = java("netty-executor", "NettyServer", ["libnetty-java"],
             jars(*(f"netty-{part}" for part in ("common", "buffer", "transport", "resolver", "handler", "codec", "codec-http"))),
             unit="handoff", recall=0)  # its event loop writes the answers of all


WAITRESS = Case("waitress", [PYTHON, "{here}/pool_wsgi.py", "waitress"], ["python3-waitress"], unit="handoff")


def queue(back, **settings):
    return Case(f"queue-{back}", ["{build}/queue"], ["g++"], ["g++ -O1 -o {build}/queue {here}/queue.cpp -lpthread"],
                unit="handoff", env={"BACK": back}, **{"options": {"call": False}, **settings})


# Where clients leave, some of a pool's lines have no id: which job they are of is open.
SOME = 0.9

POOLS = [
    # its one thread serves one connection to its end, and its backlog is 5
    pool(replace(THREADS[4], options={"connections_max": 10}), 1), pool(THREADS[4], 64),
    pool(THREADS[5], 1), pool(THREADS[5], 64),
    pool(TOMCAT[0], 64),
    JETTY, pool(JETTY, 1, recall=SOME), pool(JETTY, 64, recall=SOME),
    pool(NETTY, 1), pool(NETTY, 64),
    WAITRESS, *(pool(WAITRESS, size, recall=SOME) for size in (1, 16, 64)),
    *(pool(queue(back), size, recall=SOME) for back in ("arm", "wake") for size in (1, 64)),
    # nothing says when a worker begins its next job, unless it had to wait for it
    *(pool(queue("none"), size, recall=0) for size in (1, 64)),
    Case("pool-in-request", [PYTHON, "{here}/born_http.py"], ["python3"], recall=0.4, access=1),
    Case("cheroot", [PYTHON, "{here}/pool_wsgi.py", "cheroot", "100"], ["python3-cheroot"]),
]

def go_h2(name, kind, flags="", command=("{build}/h2_server",), packages=(), **settings):
    options = {"http2": True, "grpc": kind == "grpc"}
    return Case(name, list(command),
                ["golang-go", "golang-golang-x-net-dev", "golang-google-grpc-dev", "python3-h2", *packages],
                ["GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE={build}/../gocache "
                 f"go build {flags} -o {{build}}/h2_server {{here}}/h2_server.go"],
                unit="unit", env={"KIND": kind}, options=options, **settings)


def grpc_python(kind, pool="16", **settings):
    return Case(f"grpc-{kind}" + (f"-{pool}" if pool != "16" else ""), [PYTHON, "{here}/grpc_app.py"],
                ["python3-grpcio", "python3-h2"], env={"KIND": kind, "POOL": pool},
                options={"http2": True, "grpc": True}, **settings)


def grpc_cpp(kind, **settings):
    return Case(f"grpc-cpp-{kind}", ["{build}/grpc_server"], ["g++", "libgrpc++-dev", "python3-h2"],
                ["g++ -O1 -o {build}/grpc_server {here}/grpc_server.cpp $(pkg-config --libs grpc++)"], env={"KIND": kind},
                options=GRPC_METHOD, **settings)


def hypercorn_h2(name, options, **settings):
    return Case(name, ["/usr/bin/hypercorn", "--bind", "127.0.0.1:{port}", "asgi_app:application"],
                ["python3-hypercorn", "python3-h2"], unit="unit", env={"PYTHONPATH": "{here}"},
                options={"http2": True, **options}, **settings)


HTTP2 = [
    go_h2("go-h2c", "h2c"),
    go_h2("go-grpc", "grpc"),
    go_h2("go-grpc-pie-stripped", "grpc", "-buildmode=pie -ldflags='-s -w'"),
    go_h2("nginx-go-grpc", "grpc", command=("{here}/nginx_grpc",), packages=("nginx-light",)),
    *(grpc_python("threads", pool, unit="handoff") for pool in ("1", "16", "64")), grpc_python("aio", unit="unit"),
    grpc_cpp("async", unit="handoff"), grpc_cpp("sync", unit="handoff"), grpc_cpp("callback", recall=0),
    hypercorn_h2("hypercorn-h2c-single", {"per_connection": 1, "cancel": False}),
    # which of several streams on one connection a task is for, is not known
    hypercorn_h2("hypercorn-h2c", {}, recall=0),
]

CASES = THREADS + TOMCAT + TLS + ASYNCIO + GO + HTTP2 + RELAYED + ENGINE + POOLS + REPORTED
