"""The clients of each row: how a proxy is warmed up, and what then measures it."""

import dataclasses
import pathlib
import sys
from dataclasses import dataclass

import parse
from parse import Measured
from cores import Cores
from processes import Processes

HERE = pathlib.Path(__file__).parent
PERCENTILES = HERE.parent / "percentiles.lua"

# As many as keep one core busy without a queue of their own that hides the proxy.
CONNECTIONS = 32
CONNECTIONS_OF_LARGE_BODIES = 8
CONNECTIONS_OF_WEBSOCKETS = 16
CONNECTIONS_OF_H2 = 8
STREAMS = 10

# At a constant rate they wait most of the time, so there are more.
CONNECTIONS_AT_A_RATE = 1000
# Until they all are open.
SETTLE_MS = 500
# Latency is compared at so much of the lowest throughput of the three.
SHARE_OF_THROUGHPUT = 0.7

# Beyond the time that clients were told.
PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Target:
    """Where the proxy is, and with what clients reach it."""

    processes: Processes
    cores: Cores
    plain_port: int
    tls_port: int
    # Of requests a second, for the loads at a constant rate.
    rate: float | None = None

    def url(self, path: str, tls: bool) -> str:
        return f"https://127.0.0.1:{self.tls_port}{path}" if tls else f"http://127.0.0.1:{self.plain_port}{path}"

    def run(self, name: str, command: list, seconds: float) -> str:
        return self.processes.run(name, self.cores.clients, command, seconds + PATIENCE_SECONDS)


class Load:
    """Warms a proxy up, and measures it for so many seconds."""

    def warm_up(self, target: Target) -> None:
        raise NotImplementedError

    def measure(self, target: Target, seconds: int) -> Measured:
        raise NotImplementedError


@dataclass(frozen=True)
class Wrk(Load):
    """HTTP/1.1 as fast as it goes."""

    path: str = "/"
    tls: bool = False
    connections: int = CONNECTIONS
    script: pathlib.Path = PERCENTILES
    header: str | None = None
    # Of the warm-up, which is h2load's: wrk knows whole seconds only.
    warm_up_requests: int = 4000
    body: bool = False

    def warm_up(self, target: Target) -> None:
        command = ["h2load", "--h1", "-t", 1, "-c", self.connections, "-n", self.warm_up_requests]
        if self.body:
            body = target.processes.scratch / "body"
            body.write_bytes(b"u" * 65536)
            command += ["-d", body]
        if self.header:
            command += ["-H", self.header]
        target.run("h2load", command + [target.url(self.path, self.tls)], 0)

    def measure(self, target: Target, seconds: int) -> Measured:
        command = ["wrk", "-t", 1, "-c", self.connections, "-d", f"{seconds}s", "--timeout", "10s", "-s", self.script]
        if self.header:
            command += ["-H", self.header]
        return parse.clients_json(target.run("wrk", command + [target.url(self.path, self.tls)], seconds))


@dataclass(frozen=True)
class ConnectionPerRequest(Wrk):
    """wrk connects again after each answer; h2load does not, and so cannot warm up."""

    header: str | None = "Connection: close"

    def warm_up(self, target: Target) -> None:
        command = ["wrk", "-t", 1, "-c", self.connections, "-d", "1s", "-H", self.header]
        target.run("wrk", command + [target.url("/", False)], 1)


@dataclass(frozen=True)
class H2load(Load):
    """HTTP/2 as fast as it goes."""

    def warm_up(self, target: Target) -> None:
        target.run("h2load", self.command() + ["-n", 4000, target.url("/", True)], 0)

    def measure(self, target: Target, seconds: int) -> Measured:
        log = target.processes.scratch / "h2load.requests"
        log.unlink(missing_ok=True)
        command = self.command() + ["-D", seconds, f"--log-file={log}", target.url("/", True)]
        return parse.h2load(target.run("h2load", command, seconds), log.read_text())

    def command(self) -> list:
        return ["h2load", "-t", 1, "-c", CONNECTIONS_OF_H2, "-m", STREAMS]


@dataclass(frozen=True)
class ConstantRate(Load):
    """HTTP/1.1 at the target's rate, the same for every proxy; without one, as fast as
    it goes, to find the rate."""

    def warm_up(self, target: Target) -> None:
        Wrk().warm_up(target)

    def measure(self, target: Target, seconds: int) -> Measured:
        if target.rate is None:
            return Wrk().measure(target, seconds)
        think_ms = CONNECTIONS_AT_A_RATE / target.rate * 1000
        command = ["wrk", "-t", 1, "-c", CONNECTIONS_AT_A_RATE, "-d", f"{seconds + 1}s", "--timeout", "10s"]
        command += ["-s", HERE / "paced.lua", target.url("/", False), "--", f"think_ms={think_ms:.3f}"]
        command += [f"connections={CONNECTIONS_AT_A_RATE}", f"settle_ms={SETTLE_MS}"]
        seen = parse.clients_json(target.run("wrk", command, seconds))
        # wrk counts the time in which they were opened.
        return dataclasses.replace(seen, requests_per_second=seen.requests / (seconds + 1 - SETTLE_MS / 1000))


@dataclass(frozen=True)
class Handshakes(Load):
    """A TLS connection a request."""

    kind: str

    def warm_up(self, target: Target) -> None:
        self.run(target, 0.3)

    def measure(self, target: Target, seconds: int) -> Measured:
        return self.run(target, seconds)

    def run(self, target: Target, seconds: float) -> Measured:
        command = [sys.executable, HERE / "tls_clients.py", self.kind, target.tls_port, seconds]
        return parse.clients_json(target.run("tls-clients", command, seconds))


@dataclass(frozen=True)
class WebSockets(Load):
    """Messages to and fro, on connections that stay."""

    def warm_up(self, target: Target) -> None:
        self.run(target, 0.3)

    def measure(self, target: Target, seconds: int) -> Measured:
        return self.run(target, seconds)

    def run(self, target: Target, seconds: float) -> Measured:
        command = [sys.executable, HERE / "websocket_clients.py", target.plain_port, CONNECTIONS_OF_WEBSOCKETS, seconds]
        return parse.clients_json(target.run("websocket-clients", command, seconds))
