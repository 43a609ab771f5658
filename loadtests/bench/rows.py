"""The rows of the benchmark: what is done in each, and what lb is to reach in it."""

from dataclasses import dataclass
from typing import Literal

from loads import (
    CONNECTIONS_OF_LARGE_BODIES,
    HERE,
    ConnectionPerRequest,
    ConstantRate,
    H2load,
    Handshakes,
    Load,
    WebSockets,
    Wrk,
)
from work import RATE_OF_A_FLOOD, Variant


@dataclass(frozen=True)
class Goal:
    """The least that is wanted, and what is aimed at; of lb's value against a peer's."""

    bar: float
    aim: float | None = None
    against: Literal["better", "nginx"] = "better"
    # How lb's value is compared: divided by the peer's, or less the peer's.
    by: Literal["ratio", "difference"] = "ratio"

    def __str__(self) -> str:
        if self.by == "difference":
            return f"{self.against} + {self.bar:g}"
        text = f"{self.bar:g}" if self.aim is None else f"{self.bar:g} / {self.aim:g}"
        return text if self.against == "better" else f"{text} of {self.against}"


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    # None: connections that stay idle, of that kind; see loadtests/idle_connections.py.
    load: Load | None
    idle: Literal["plain", "tls"] | None = None
    variant: Variant = Variant()
    goal: Goal | None = None
    # The value that is compared.
    metric: Literal["cpu_us", "p99_ms", "kib_per_connection"] = "cpu_us"
    # Whether the Pingora engine is measured besides; HTTP/2 is its own in any case.
    both_engines: bool = True
    # What the answers are: a line in the access log and a 200 each, unless it is said.
    refused: bool = False
    line_per_request: bool = True


ROWS = (
    Row("small", "HTTP/1.1 keep-alive, 65 B", Wrk(), goal=Goal(1.0, 0.9)),
    Row(
        "body-64k",
        "HTTP/1.1, bodies of 64 KiB",
        Wrk("/64k", connections=CONNECTIONS_OF_LARGE_BODIES, warm_up_requests=1000),
    ),
    Row(
        "body-1m",
        "HTTP/1.1, bodies of 1 MiB",
        Wrk("/1m", connections=CONNECTIONS_OF_LARGE_BODIES, warm_up_requests=200),
        goal=Goal(1.0, 0.85),
    ),
    Row(
        "upload-64k",
        "HTTP/1.1, uploads of 64 KiB",
        Wrk(
            "/upload",
            connections=CONNECTIONS_OF_LARGE_BODIES,
            script=HERE / "upload.lua",
            body=True,
            warm_up_requests=1000,
        ),
    ),
    Row("connection", "HTTP/1.1, a connection a request", ConnectionPerRequest(), goal=Goal(1.05, 0.95)),
    Row("tls", "HTTP/1.1 over TLS, 65 B", Wrk(tls=True), goal=Goal(1.0, 0.9)),
    Row(
        "tls-1m",
        "HTTP/1.1 over TLS, bodies of 1 MiB",
        Wrk("/1m", tls=True, connections=CONNECTIONS_OF_LARGE_BODIES, warm_up_requests=200),
    ),
    Row("handshake-full", "TLS handshake, full, and a request", Handshakes("full"), goal=Goal(0.75, 0.65)),
    Row("handshake-resumed", "TLS handshake, resumed, and a request", Handshakes("resumed")),
    Row("h2", "HTTP/2 over TLS, 10 streams a connection", H2load(), goal=Goal(1.4, 1.0, "nginx"), both_engines=False),
    Row("websocket", "WebSocket, a message and its echo", WebSockets(), line_per_request=False),
    Row(
        "flood",
        "refused by the rate limit",
        Wrk(),
        variant=Variant(rate=RATE_OF_A_FLOOD),
        goal=Goal(1.0, 0.8),
        refused=True,
    ),
    Row("routes-1000", "1000 routes", Wrk("/r/1/item", script=HERE / "routes.lua"), variant=Variant(routes=1000)),
    Row("endpoints-100", "100 endpoints", Wrk(), variant=Variant(endpoints=100)),
    Row(
        "latency",
        "p99 at 70 % load, ms",
        ConstantRate(),
        goal=Goal(1.0, against="nginx"),
        metric="p99_ms",
        # The rate is that of the slowest of lb, nginx and HAProxy: too much for it.
        both_engines=False,
    ),
    Row(
        "idle-plain",
        "idle connection, KiB",
        None,
        idle="plain",
        goal=Goal(1.0, against="nginx", by="difference"),
        metric="kib_per_connection",
    ),
    Row(
        "idle-tls",
        "idle TLS connection, KiB",
        None,
        idle="tls",
        goal=Goal(1.0, against="nginx"),
        metric="kib_per_connection",
    ),
)
