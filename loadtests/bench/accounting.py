"""What the processes of a proxy have used: CPU time and memory, from /proc.

All processes of the group count, and all threads of each: a master, workers, a thread
that writes the access log.
"""

import os
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass

NANOSECONDS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """So far, in nanoseconds."""

    total: int
    user: int
    system: int
    threads: frozenset[int]


@dataclass(frozen=True)
class Spent:
    """Between two looks, in microseconds."""

    total: float
    user: float
    system: float


def usage(group: int) -> Usage:
    total = user = system = 0
    threads: set[int] = set()
    for pid in processes(group):
        fields = stat_fields(pid / "stat")
        # utime and stime, fields 14 and 15 of all, or 11 and 12 after the name.
        user += int(fields[11]) * NANOSECONDS_PER_TICK
        system += int(fields[12]) * NANOSECONDS_PER_TICK
        for task in (pid / "task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
            threads.add(int(task.name))
    return Usage(total, user, system, frozenset(threads))


def spent(before: Usage, after: Usage) -> Spent:
    """The sum is the scheduler's, exact to the nanosecond. The kernel knows its division
    into user and system only in ticks, so the sum is divided in their proportion.

    A thread that ended took its time along, out of the scheduler's sum; the ticks of its
    process still have it.
    """
    user_ticks, system_ticks = after.user - before.user, after.system - before.system
    ticks = user_ticks + system_ticks
    total = after.total - before.total if before.threads <= after.threads else ticks
    user = total * user_ticks / ticks if ticks else 0.0
    return Spent(total / 1000, user / 1000, (total - user) / 1000)


def resident_kib(group: int) -> int:
    """Pages that several processes share (a master and its workers) count once."""
    total = 0
    for pid in processes(group):
        for line in (pid / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def processes(group: int) -> Iterator[pathlib.Path]:
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        pid = pathlib.Path("/proc", entry)
        try:
            if int(stat_fields(pid / "stat")[2]) == group:
                yield pid
        except (FileNotFoundError, ProcessLookupError):
            continue


def stat_fields(path: pathlib.Path) -> list[str]:
    """After the name, which is in brackets and may hold anything: state, parent, group."""
    return path.read_text().rpartition(")")[2].split()
