"""Reads what the tools print."""

import json
import math
import pathlib
import re
from dataclasses import dataclass


class Unreadable(Exception):
    """The output is not what the tool prints when it has measured something."""


@dataclass(frozen=True)
class Measured:
    """What clients saw. `refused` are answers with a status that is an error; `errors`
    are requests without an answer."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    refused: int
    errors: int


def percentile(ordered: list[float], percent: float) -> float:
    """Of sorted values, the one that so many percent of them do not exceed."""
    if not ordered:
        raise Unreadable("nothing was measured")
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def clients_json(output: str) -> Measured:
    """Of wrk with loadtests/percentiles.lua, and of the clients in Python."""
    for line in output.splitlines():
        if line.startswith("{"):
            found = json.loads(line)
            refused = found["error_statuses"]
            return Measured(
                requests=found["requests"],
                requests_per_second=found["requests_per_second"],
                p50_ms=found["p50_ms"],
                p99_ms=found["p99_ms"],
                p999_ms=found["p999_ms"],
                refused=refused,
                errors=found["errors"] - refused,
            )
    raise Unreadable(f"no result in: {output}")


def h2load(output: str, log: str) -> Measured:
    """The summary, and with --log-file a line for each request: when it began, its
    status, and how long it took, in microseconds."""
    rate = re.search(r"^finished in [^,]+, ([\d.]+) req/s", output, re.MULTILINE)
    counts = re.search(r"^requests: .* (\d+) failed, (\d+) errored, (\d+) timeout", output, re.MULTILINE)
    if not rate or not counts:
        raise Unreadable(f"no summary in: {output}")
    milliseconds = []
    refused = 0
    for line in log.splitlines():
        _, status, microseconds = line.split("\t")[:3]
        if status == "-1":
            continue
        milliseconds.append(int(microseconds) / 1000)
        refused += int(status) >= 400
    milliseconds.sort()
    # Failed counts both: an error status, and no answer.
    return Measured(
        requests=len(milliseconds),
        requests_per_second=float(rate[1]),
        p50_ms=percentile(milliseconds, 50),
        p99_ms=percentile(milliseconds, 99),
        p999_ms=percentile(milliseconds, 99.9),
        refused=refused,
        errors=max(0, int(counts[1]) - refused),
    )


def strace_calls(summary: str) -> dict[str, int]:
    """Calls by name, of `strace -c`. The column of errors is empty where there are none."""
    calls = {}
    for line in summary.splitlines():
        found = re.fullmatch(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z_]\w*)\s*", line)
        if found and found[2] != "total":
            calls[found[2]] = int(found[1])
    if not calls:
        raise Unreadable(f"no calls in: {summary}")
    return calls


def callgrind_instructions(out_file: pathlib.Path) -> int:
    """The sum of a file that callgrind wrote. Its "summary" is of what came after
    counting was switched off last."""
    for line in out_file.read_text().splitlines():
        if line.startswith("totals:"):
            return int(line.split()[1])
    raise Unreadable(f"no sum in {out_file}")
