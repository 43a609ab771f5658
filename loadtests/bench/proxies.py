"""Starts a proxy with a configuration of its own, and knows what it used."""

import pathlib
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import haproxy_config
import lb_config
import nginx_config
from cores import Cores
from free_ports import free_ports
from loads import Target
from origin import Origin
from processes import Processes
from work import Variant, Work

LB, LB_PINGORA, NGINX, HAPROXY = "lb", "lb-pingora", "nginx", "haproxy"
PEERS = (NGINX, HAPROXY)
# lb chooses its engine by itself, or is told to use Pingora's throughout.
ENGINES = {LB: "auto", LB_PINGORA: "pingora"}

START_SECONDS = 15
# Under valgrind everything takes fifty times as long.
START_SECONDS_UNDER_A_TOOL = 120


@dataclass
class Running:
    name: str
    process: subprocess.Popen
    work: Work
    drain: subprocess.Popen | None

    @property
    def group(self) -> int:
        return self.process.pid


class Proxies:
    def __init__(
        self, processes: Processes, cores: Cores, lb: pathlib.Path, certificates: pathlib.Path, origin: Origin
    ) -> None:
        self.processes = processes
        self.cores = cores
        self.lb = lb
        self.certificates = certificates
        self.origin = origin

    @contextmanager
    def running(self, name: str, variant: Variant, tool: list = ()) -> Iterator[Running]:
        """Fresh, on fresh ports; with a command in front of it if a tool is to watch it."""
        plain, tls, status, log = free_ports(4)
        directory = self.processes.scratch / "proxy"
        directory.mkdir()
        work = Work(
            variant,
            directory,
            self.certificates,
            plain,
            tls,
            status,
            log,
            self.origin.addresses[: variant.endpoints],
            self.origin.websocket_address,
        )
        running = None
        try:
            running = self.start(name, work, list(tool))
            yield running
        finally:
            if running:
                self.stop(running)
            shutil.rmtree(directory)

    def start(self, name: str, work: Work, tool: list) -> Running:
        drain = self.start_drain(work) if name == HAPROXY else None
        process = self.processes.start(name, self.cores.proxy, tool + self.command(name, work))
        patience = START_SECONDS_UNDER_A_TOOL if tool else START_SECONDS
        for port in (work.plain_port, work.tls_port):
            self.processes.wait_until(name, process, lambda port=port: accepts(port), patience)
        return Running(name, process, work, drain)

    def command(self, name: str, work: Work) -> list:
        configuration = work.directory / "configuration"
        if name == NGINX:
            configuration.write_text(nginx_config.configuration(work))
            return ["nginx", "-p", work.directory, "-e", "stderr", "-c", configuration]
        if name == HAPROXY:
            configuration.write_text(haproxy_config.configuration(work))
            return ["haproxy", "-db", "-f", configuration]
        configuration.write_text(lb_config.configuration(work, ENGINES[name]))
        return [self.lb, "run", "--config", configuration]

    def start_drain(self, work: Work) -> subprocess.Popen:
        script = pathlib.Path(__file__).with_name("log_drain.py")
        drain = self.processes.start(
            "log-drain", self.cores.clients, [sys.executable, script, work.log_port], stdout=subprocess.PIPE, text=True
        )
        drain.stdout.readline()
        return drain

    def stop(self, running: Running, first: int = signal.SIGTERM) -> None:
        self.processes.stop(running.process, first)
        if running.drain:
            self.processes.stop(running.drain)

    def target(self, running: Running, rate: float | None = None) -> Target:
        return Target(self.processes, self.cores, running.work.plain_port, running.work.tls_port, rate)

    def logged_lines(self, running: Running) -> int:
        """Stops the proxy, so that everything is written, and counts its access log."""
        self.processes.stop(running.process)
        if running.drain:
            return int(running.drain.communicate()[0] or 0)
        with running.work.access_log.open("rb") as log:
            return sum(block.count(b"\n") for block in iter(lambda: log.read(1 << 20), b""))


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True
