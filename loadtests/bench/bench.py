#!/usr/bin/env python3
"""Measures lb with both of its engines, nginx and HAProxy in one run.

    bench.py

In each round every proxy does every row, in turns, with a fresh process each time.
Prints the tables, and writes bench.json, bench.md and bench.png. Exits with 1 when
something makes the values doubtful. Read from the environment:

    ROUNDS             5
    SECONDS_PER_CELL   3, of measuring, for each proxy, row and round
    IDLE_CONNECTIONS   1000
    BENCH_ROWS         all of them; names of rows.py, divided by spaces
    LB, RESULTS        as for the other load tests
"""

import json
import os
import pathlib
import subprocess
import sys
import time

import rig
import callgrind
import cells
import circumstances
import ratios
import report
import requirements
import rows
import side_by_side
import syscalls
from processes import fail
from proxies import HAPROXY, LB, LB_PINGORA, NGINX, PEERS, Proxies
from loads import SHARE_OF_THROUGHPUT, ConstantRate
from report import NAMES


def main() -> None:
    requirements.check()
    chosen = choose_rows(os.environ.get("BENCH_ROWS", ""))
    rounds = number("ROUNDS", 5)
    seconds = number("SECONDS_PER_CELL", 3)
    connections = number("IDLE_CONNECTIONS", 1000)
    started = time.monotonic()
    with rig.rig() as (proxies, cores):
        results = {
            "test": "bench",
            **circumstances.circumstances(str(proxies.lb), bool(os.environ.get("LB"))),
            "git": git_describe(),
            "cores": str(cores),
            "rounds": rounds,
            "seconds_per_cell": seconds,
            "idle_connections": connections,
        }
        run = Run(proxies, chosen, seconds, connections)
        for turn in range(rounds):
            run.round(turn, rounds)
        results["requests_per_second_at_constant_rate"] = run.rate
        results["rows"] = [summarise(row, run.values[row.name]) for row in chosen]
        say("system calls and instructions")
        results["syscalls_per_request"] = {name: syscalls.count(proxies, name) for name in NAMES}
        results["instructions_per_request"] = {name: callgrind.count(proxies, name) for name in callgrind.ENGINES}
    results["minutes"] = round((time.monotonic() - started) / 60, 1)
    results["problems"] = run.problems
    publish(results, rig.results())
    for problem in run.problems:
        print(f"FAILED  {problem}")
    sys.exit(1 if run.problems else 0)


def choose_rows(names: str) -> list[rows.Row]:
    by_name = {row.name: row for row in rows.ROWS}
    unknown = [name for name in names.split() if name not in by_name]
    if unknown:
        fail(f"there is no row {' or '.join(unknown)}; there are {' '.join(by_name)}")
    return [row for row in rows.ROWS if not names.split() or row.name in names.split()]


def number(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdigit() or int(text) == 0:
        fail(f"{variable} is {text}; a whole number is wanted, at least 1")
    return int(text)


def git_describe() -> str:
    """Of the checkout, which is that of lb unless LB names another build."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Run:
    """The values of all rounds: by row, by proxy, one for each round."""

    def __init__(self, proxies: Proxies, chosen: list[rows.Row], seconds: int, connections: int) -> None:
        self.proxies = proxies
        self.chosen = chosen
        self.seconds = seconds
        self.connections = connections
        self.rate: float | None = None
        self.problems: list[str] = []
        self.values: dict[str, dict[str, list[dict]]] = {row.name: {} for row in chosen}

    def round(self, turn: int, rounds: int) -> None:
        for position, row in enumerate(self.chosen):
            say(f"round {turn + 1} of {rounds}: {row.title}")
            if isinstance(row.load, ConstantRate) and self.rate is None:
                self.rate = self.find_rate(row)
            names = [name for name in NAMES if row.both_engines or name != LB_PINGORA]
            for name in ratios.in_turns(names, turn + position):
                self.values[row.name].setdefault(name, []).append(self.cell(row, name, turn))

    def cell(self, row: rows.Row, name: str, turn: int) -> dict[str, float]:
        def report_problem(text: str) -> None:
            self.problems.append(f"{row.name}, {name}, round {turn + 1}: {text}")

        return cells.measure(self.proxies, row, name, self.seconds, self.rate, self.connections, report_problem)

    def find_rate(self, row: rows.Row) -> float:
        """Once, for the whole run: of the slowest of the three."""
        fastest = []
        for name in (LB, *PEERS):
            with self.proxies.running(name, row.variant) as running:
                target = self.proxies.target(running)
                row.load.warm_up(target)
                fastest.append(row.load.measure(target, self.seconds).requests_per_second)
        return min(fastest) * SHARE_OF_THROUGHPUT


def summarise(row: rows.Row, values: dict[str, list[dict]]) -> dict:
    """Of one row, as it stands in the JSON."""
    compared = {name: [cell[row.metric] for cell in of_rounds] for name, of_rounds in values.items()}
    better = ratios.better_of({name: compared[name] for name in PEERS})
    found = {
        "name": row.name,
        "title": row.title,
        "metric": row.metric,
        "values": values,
        "medians": {
            name: {key: ratios.spread([cell[key] for cell in of_rounds]).median for key in of_rounds[0]}
            for name, of_rounds in values.items()
        },
        "better": better,
        "ratios": {},
    }
    for ours in (LB, LB_PINGORA):
        if ours not in compared:
            continue
        for title, peer in ((NGINX, NGINX), (HAPROXY, HAPROXY), ("better", better)):
            of_rounds = ratios.ratios(compared[ours], compared[peer])
            found["ratios"][f"{ours}/{title}"] = {"rounds": of_rounds} | ratios.spread(of_rounds).as_json()
    if row.goal:
        peer = better if row.goal.against == "better" else row.goal.against
        compare = ratios.differences if row.goal.by == "difference" else ratios.ratios
        value = ratios.spread(compare(compared[LB], compared[peer])).median
        found["goal"] = {
            "text": str(row.goal),
            "value": value,
            "verdict": ratios.verdict(value, row.goal.bar, row.goal.aim),
        }
    return found


def publish(results: dict, directory: pathlib.Path) -> None:
    side_by_side.write(directory / "bench.json", results)
    (directory / "bench.md").write_text(report.whole(results))
    print(report.whole(results))
    command = [requirements.python_with_matplotlib(), rig.HERE / "chart.py"]
    subprocess.run(command + [directory / "bench.json", directory / "bench.png"], check=True)
    say(f"wrote bench.json, bench.md and bench.png in {directory}")


if __name__ == "__main__":
    main()
