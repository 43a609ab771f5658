#!/usr/bin/env python3
"""Memory of idle connections: measures one case, or prints the table of all.

    idle_memory.py measure --proxy NAME --group PGID --kind KIND --port PORT --plain-port PORT
                           --count N --ca FILE
    idle_memory.py report CASES CIRCUMSTANCES JSON

`measure` prints one JSON object; `report` reads such lines from the file CASES, prints
the table, writes everything to JSON, and exits with 1 when lb misses a bar.
"""

import argparse
import http.client
import json
import math
import os
import pathlib
import subprocess
import sys
import time

# KiB a connection that lb may take, by kind.
BARS = {"plain": 2.0, "silent": 2.0, "tls": 16.0, "h2": 24.0}
TITLES = {
    "plain": "HTTP/1.1, after a request",
    "silent": "plain, before the first byte",
    "tls": "TLS 1.3, after a request",
    "h2": "HTTP/2 over TLS, after a request",
}
PROXIES = ("lb", "nginx", "haproxy")

# How much of the growth lb may still have after closing, in percent, and how much of
# it is no finding, in KiB: allocators keep a page here and there.
MAY_KEEP_PERCENT = 25
NOISE_KIB = 256

# Memory has settled when it stayed within TOLERANCE_KIB for QUIET_SECONDS; after
# MOST_SECONDS it is taken as it is. What is to be given back has all of that time.
INTERVAL_SECONDS = 0.25
QUIET_SECONDS = 2.5
MOST_SECONDS = 15
TOLERANCE_KIB = 64

# Some allocators give memory back only when the process does something: so it is asked
# again after a few requests, all within three seconds. No bar depends on that.
TRICKLE_REQUESTS = 30
TRICKLE_PAUSE_SECONDS = 0.1

# What a proxy loads and allocates with its first connections is not theirs.
WARM_UP_CONNECTIONS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description="memory of idle connections")
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("--proxy", choices=PROXIES, required=True)
    measuring.add_argument("--group", type=int, required=True)
    measuring.add_argument("--kind", choices=BARS, required=True)
    measuring.add_argument("--port", type=int, required=True)
    measuring.add_argument("--plain-port", type=int, required=True)
    measuring.add_argument("--count", type=int, required=True)
    measuring.add_argument("--ca", required=True)
    reporting = commands.add_parser("report")
    for file in ("cases", "circumstances", "json"):
        reporting.add_argument(file, type=pathlib.Path)
    options = parser.parse_args()
    if options.command == "measure":
        measure(options)
    else:
        report(options)


# ---- one case ----------------------------------------------------------------


def measure(options: argparse.Namespace) -> None:
    with Clients(options, WARM_UP_CONNECTIONS):
        pass
    before = settled_memory(options.group)
    with Clients(options, options.count) as clients:
        opened = settled_memory(options.group)
        established = clients.established()
    if established != options.count:
        sys.exit(
            f"idle_memory: {options.proxy}, {options.kind}: only {established} of {options.count} "
            "connections were still open when they were measured; try fewer"
        )
    growth = opened - before
    after = settled_memory(options.group, at_most=opened - growth * (100 - MAY_KEEP_PERCENT) // 100)
    trickle(options.plain_port)
    after_requests = settled_memory(options.group)
    print(
        json.dumps(
            {
                "proxy": options.proxy,
                "kind": options.kind,
                "connections": options.count,
                "seconds_to_open": clients.seconds,
                "before_kib": before,
                "open_kib": opened,
                "after_kib": after,
                "after_requests_kib": after_requests,
                "kib_per_connection": round(growth / options.count, 3),
                "given_back_percent": percent(opened - after, growth),
                "given_back_after_requests_percent": percent(opened - after_requests, growth),
            }
        )
    )


def percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 1) if whole > 0 else None


def trickle(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for _ in range(TRICKLE_REQUESTS):
        connection.request("GET", "/")
        connection.getresponse().read()
        time.sleep(TRICKLE_PAUSE_SECONDS)
    connection.close()


class Clients:
    """The connections, in a process of their own while the block lasts."""

    def __init__(self, options: argparse.Namespace, count: int) -> None:
        script = pathlib.Path(__file__).with_name("idle_connections.py")
        command = [sys.executable, script, "--kind", options.kind, "--count", str(count)]
        command += ["--port", str(options.port), "--ca", options.ca]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "Clients":
        self.seconds = float(self.answer("opened"))
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()

    def established(self) -> int:
        self.process.stdin.write("established\n")
        self.process.stdin.flush()
        return int(self.answer("established"))

    def answer(self, word: str) -> str:
        words = self.process.stdout.readline().split()
        if words[:1] != [word]:
            sys.exit("idle_memory: the clients gave up")
        return words[1]


def settled_memory(group: int, at_most: float = math.inf) -> int:
    """KiB, once it does not move any more and is as low as that."""
    samples: list[int] = []
    enough = round(QUIET_SECONDS / INTERVAL_SECONDS)
    deadline = time.monotonic() + MOST_SECONDS
    while time.monotonic() < deadline:
        samples.append(memory(group))
        latest = samples[-enough:]
        if len(latest) == enough and max(latest) - min(latest) <= TOLERANCE_KIB and latest[-1] <= at_most:
            break
        time.sleep(INTERVAL_SECONDS)
    return samples[-1]


def memory(group: int) -> int:
    """KiB that only the processes of this group have: Private_Clean + Private_Dirty."""
    total = 0
    found = False
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            # The fields after the name, which is in brackets: state, parent, group.
            stat = pathlib.Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            if int(stat[2]) != group:
                continue
            rollup = pathlib.Path("/proc", entry, "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found = True
        total += sum(
            int(line.split()[1])
            for line in rollup.splitlines()
            if line.startswith(("Private_Clean:", "Private_Dirty:"))
        )
    if not found:
        sys.exit("idle_memory: the proxy ended")
    return total


# ---- all of them -------------------------------------------------------------


def report(options: argparse.Namespace) -> None:
    cases = [json.loads(line) for line in options.cases.read_text().splitlines()]
    by_kind = {(case["proxy"], case["kind"]): case for case in cases}
    missed = list(misses(cases))
    print_table(by_kind, cases[0]["connections"])
    write(
        options.json,
        {
            "test": "idle-memory",
            **json.loads(options.circumstances.read_text()),
            "memory": "Private_Clean + Private_Dirty of smaps_rollup, all processes of the proxy, KiB",
            "bars_for_lb": {"kib_per_connection": BARS, "may_keep_percent": MAY_KEEP_PERCENT},
            "cases": cases,
            "missed": missed,
        },
    )
    for line in missed:
        print(f"MISSED  {line}")
    sys.exit(1 if missed else 0)


def misses(cases: list[dict]):
    for case in cases:
        if case["proxy"] != "lb":
            continue
        title, taken, bar = TITLES[case["kind"]], case["kib_per_connection"], BARS[case["kind"]]
        if taken > bar:
            yield f"{title}: {taken:.2f} KiB a connection, at most {bar:g}"
        growth, kept = case["open_kib"] - case["before_kib"], case["after_kib"] - case["before_kib"]
        if kept > NOISE_KIB and kept * 100 > growth * MAY_KEEP_PERCENT:
            yield f"{title}: after closing, {kept} of {growth} KiB are still there; at most {MAY_KEEP_PERCENT} %"


def print_table(by_kind: dict, count: int) -> None:
    print(f"\n{count} idle connections, one worker; private memory of all processes of the proxy\n")
    print(f"{'KiB a connection':<34}" + "".join(f"{proxy:>10}" for proxy in PROXIES) + f"{'bar for lb':>13}")
    for kind, title in TITLES.items():
        values = (by_kind[proxy, kind]["kib_per_connection"] for proxy in PROXIES)
        print(f"{title:<34}" + "".join(f"{value:>10.2f}" for value in values) + f"{BARS[kind]:>13g}")
    for heading, key, bar in (
        ("given back after closing, %", "given_back_percent", 100 - MAY_KEEP_PERCENT),
        (f"… and {TRICKLE_REQUESTS} requests later, %", "given_back_after_requests_percent", ""),
    ):
        print(f"\n{heading}")
        for kind, title in TITLES.items():
            values = (by_kind[proxy, kind][key] for proxy in PROXIES)
            cells = ("-" if value is None else f"{value:.0f}" for value in values)
            print(f"{title:<34}" + "".join(f"{cell:>10}" for cell in cells) + f"{bar:>13}")
    print(f"\n{'MiB before':<34}", end="")
    for proxy in PROXIES:
        print(f"{by_kind[proxy, 'plain']['before_kib'] / 1024:>10.1f}", end="")
    print("\n")


def write(path: pathlib.Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(path)


if __name__ == "__main__":
    main()
