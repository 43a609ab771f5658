#!/usr/bin/env python3
"""Thousands of keep-alive clients at once against the demo: see ten-thousand.sh, which
starts it. DEMO_HTTP, DEMO_HTTPS, DEMO_CA and DEMO_LB_PID say where the demo is.

Prints errors, percentiles and lb's memory. The exit status is 1 when anything failed.
"""

import argparse
import array
import collections
import math
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import resource
import sys
import time
import urllib.parse

import keep_alive_clients

# Descriptors of a process of clients that are not connections.
SPARE_DESCRIPTORS = 64

# One Python process is one core at most, and its queue would be measured too.
LEAST_PROCESSES = 2

# After the ramp: the last handshakes and first answers.
PATIENCE_SECONDS = 60

LOOK_SECONDS = 0.5


def main() -> None:
    options = parse_arguments()
    memory = Memory(options.lb_pid)
    processes = options.processes or processes_needed(options.connections, descriptor_limit())
    print(
        f"{options.connections} clients in {processes} processes, {options.url}, "
        f"{options.think:g} s of thought on average",
        flush=True,
    )
    workers = Workers(options, processes)
    begun = time.monotonic()
    if workers.all_ready(begun + options.ramp + PATIENCE_SECONDS, memory):
        took = time.monotonic() - begun
        print(f"all have a connection and an answer after {took:.1f} s; measuring for {options.seconds} s", flush=True)
        memory.mark("with all connections")
    else:
        # What they report says why.
        print(f"not all had an answer within {time.monotonic() - begun:.1f} s; nothing is measured", flush=True)
        options.seconds = 0
    reports = workers.measure(options.seconds, memory)
    if reports is None:
        sys.exit("ten-thousand: a process of clients ended without a report")
    memory.mark("at the end")
    sys.exit(0 if summarise(options, reports, memory) else 1)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="thousands of keep-alive clients at once")
    parser.add_argument("--connections", type=positive, default=10000)
    parser.add_argument("--seconds", type=positive, default=60, help="measured, once all stand")
    parser.add_argument("--think", type=seconds, default=5.0, help="between answer and next request, on average")
    parser.add_argument("--ramp", type=seconds, default=10.0, help="in which they are opened")
    parser.add_argument("--processes", type=positive)
    parser.add_argument("--path", default="/api/v1/users")
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    options.url = os.environ.get("DEMO_HTTPS" if options.tls else "DEMO_HTTP")
    if options.url is None:
        parser.error("start it with loadtests/ten-thousand.sh")
    options.url += options.path
    options.ca = os.environ.get("DEMO_CA")
    options.lb_pid = os.environ.get("DEMO_LB_PID")
    return options


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 3600:
        raise ValueError
    return value


# ---- arithmetic --------------------------------------------------------------


def descriptor_limit() -> int:
    """Of this process, raised as far as it goes; its children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def processes_needed(connections: int, limit: int) -> int:
    room = limit - SPARE_DESCRIPTORS
    if room < 1:
        sys.exit(f"ten-thousand: a limit of {limit} descriptors has no room for connections (ulimit -Hn)")
    return min(connections, max(LEAST_PROCESSES, math.ceil(connections / room)))


def shares(connections: int, processes: int) -> list[tuple[int, int]]:
    """First client and number of clients of each process, as equal as they can be."""
    bounds = [connections * index // processes for index in range(processes + 1)]
    return [(first, following - first) for first, following in zip(bounds, bounds[1:])]


def percentile(ordered, percent: float) -> float:
    """Nearest rank: the smallest value that so many percent do not exceed."""
    # Rounded first: 99.9 % of 1000 is 999, and not the 999.0000000000001 of doubles.
    rank = math.ceil(round(len(ordered) * percent / 100, 9))
    return ordered[max(rank, 1) - 1]


# ---- the processes -----------------------------------------------------------


class Workers:
    def __init__(self, options: argparse.Namespace, processes: int) -> None:
        address = urllib.parse.urlsplit(options.url)
        fork = multiprocessing.get_context("fork")
        self.pipes = []
        for first, count in shares(options.connections, processes):
            share = keep_alive_clients.Share(
                host="127.0.0.1",
                port=address.port,
                path=options.path,
                tls=options.tls,
                ca=options.ca,
                first=first,
                count=count,
                ramp=options.ramp,
                think=options.think,
            )
            ours, theirs = fork.Pipe()
            # A daemon ends with us, in whatever way we do.
            process = fork.Process(target=keep_alive_clients.run, args=(share, theirs), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)

    def all_ready(self, deadline: float, memory: "Memory") -> bool:
        return self.receive(str, deadline, memory) is not None

    def measure(self, length: float, memory: "Memory"):
        """A report of each, or None."""
        # One clock for all processes; a moment later, so that all know in time.
        begin = time.monotonic() + 0.5
        for pipe in self.pipes:
            pipe.send((begin, begin + length))
        return self.receive(keep_alive_clients.Report, begin + length + PATIENCE_SECONDS, memory)

    def receive(self, kind: type, deadline: float, memory: "Memory"):
        """What each process says of this kind; None if one does not in time."""
        said = {}
        while len(said) < len(self.pipes):
            memory.look()
            if time.monotonic() > deadline:
                return None
            silent = [pipe for pipe in self.pipes if pipe not in said]
            for pipe in multiprocessing.connection.wait(silent, LOOK_SECONDS):
                try:
                    message = pipe.recv()
                except EOFError:
                    return None
                if isinstance(message, kind):
                    said[pipe] = message
        return list(said.values())


class Memory:
    """Resident memory of lb, in MiB."""

    def __init__(self, pid) -> None:
        self.status = pathlib.Path(f"/proc/{pid}/status") if pid else None
        self.marks = []
        self.peak = 0.0
        self.mark("before")

    def mark(self, name: str) -> None:
        self.marks.append((name, self.look()))

    def look(self) -> float:
        try:
            lines = self.status.read_text().splitlines() if self.status else []
        except OSError:
            lines = []  # lb has ended; whoever started it says so
        now = sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))
        self.peak = max(self.peak, now)
        return now


# ---- the result --------------------------------------------------------------


def summarise(options: argparse.Namespace, reports: list, memory: Memory) -> bool:
    """Prints everything, and says whether it is good."""
    latencies = in_order(report.latencies for report in reports)
    lateness = in_order(report.lateness for report in reports)
    errors = sum((collections.Counter(report.errors) for report in reports), collections.Counter())
    still_open = sum(report.open for report in reports)

    rate = f", {len(latencies) / options.seconds:.0f} a second" if latencies else ""

    print()
    print(f"connections   {still_open} of {options.connections} open at the end")
    print(f"requests      {len(latencies)} in {options.seconds} s{rate}")
    print(f"errors        {errors.total()}")
    for what, count in errors.most_common():
        print(f"  {count:>6} x {what}")
    if latencies:
        print(f"times         {percentiles(latencies)}")
        print(f"sent late by  {percentiles(lateness)}  (the clients' own delay, not in the times)")
    if memory.status:
        marks = [*memory.marks, ("at most", memory.peak)]
        print("memory of lb  " + ", ".join(f"{mib:.1f} MiB {name}" for name, mib in marks))
    print()
    return not errors and bool(latencies) and still_open == options.connections


def in_order(parts) -> list[float]:
    values = array.array("d")
    for part in parts:
        values.frombytes(part)
    return sorted(values)


def percentiles(ordered: list[float]) -> str:
    named = [(f"p{percent:g}", percentile(ordered, percent)) for percent in (50, 99, 99.9)]
    named.append(("at most", ordered[-1]))
    return ", ".join(f"{name} {value * 1000:.2f} ms" for name, value in named)


if __name__ == "__main__":
    main()
