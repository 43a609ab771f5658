"""Measures one cell of the table: one row, one proxy, one round."""

import argparse
import sys
import time
from collections.abc import Callable

import accounting
import idle_memory
import parse
from loads import ConstantRate, Target
from proxies import Proxies, Running
from rows import Row

# Lines that may be missing in the access log at the end; losing more than that would be
# to leave out work that the others do.
MAY_BE_UNLOGGED = 0.01
# Of a flood, what may pass: the rate, and what comes before a counter has seen anything.
MAY_PASS = 0.01

# How far a constant rate may be missed: a connection waits for its answer before it waits
# for its turn, so whoever answers late has it easier by a little.
MAY_MISS_THE_RATE = 0.10

# The default of idle_memory.py is for a test that fails; here are rounds to compare.
QUIET_SECONDS = 1.0

Report = Callable[[str], None]


def measure(
    proxies: Proxies, row: Row, name: str, seconds: int, rate: float | None, connections: int, report: Report
) -> dict[str, float]:
    """The values; what makes them doubtful is reported."""
    with proxies.running(name, row.variant) as running:
        target = proxies.target(running, rate)
        if row.load is None:
            return measure_idle(proxies, running, row, connections)
        return measure_load(proxies, running, row, target, seconds, report)


def measure_load(
    proxies: Proxies, running: Running, row: Row, target: Target, seconds: int, report: Report
) -> dict[str, float]:
    row.load.warm_up(target)
    before, started = accounting.usage(running.group), time.monotonic()
    try:
        seen = row.load.measure(target, seconds)
    except parse.Unreadable as error:
        sys.exit(f"bench: {row.name}, {running.name}: {error}")
    used = accounting.spent(before, accounting.usage(running.group))
    elapsed = time.monotonic() - started
    resident = accounting.resident_kib(running.group)
    lines = proxies.logged_lines(running)

    if seen.requests == 0:
        sys.exit(f"bench: {row.name}, {running.name}: no request was answered")
    if seen.errors:
        report(f"{seen.errors} of {seen.requests} requests failed")
    if row.refused and seen.requests - seen.refused > seen.requests * MAY_PASS:
        report(f"{seen.requests - seen.refused} of {seen.requests} requests were not refused")
    if not row.refused and seen.refused:
        report(f"{seen.refused} of {seen.requests} answers had a status over 399")
    if isinstance(row.load, ConstantRate) and abs(seen.requests_per_second / target.rate - 1) > MAY_MISS_THE_RATE:
        report(f"{seen.requests_per_second:.0f} requests a second instead of {target.rate:.0f}")
    if row.line_per_request and lines < seen.requests * (1 - MAY_BE_UNLOGGED):
        report(f"{seen.requests} requests and {lines} lines in the access log")
    return {
        "cpu_us": used.total / seen.requests,
        "user_us": used.user / seen.requests,
        "system_us": used.system / seen.requests,
        "cpu_share": used.total / elapsed / 1e6,
        "requests": seen.requests,
        "requests_per_second": seen.requests_per_second,
        "p50_ms": seen.p50_ms,
        "p99_ms": seen.p99_ms,
        "p999_ms": seen.p999_ms,
        "resident_kib": resident,
        "log_lines": lines,
    }


def measure_idle(proxies: Proxies, running: Running, row: Row, connections: int) -> dict[str, float]:
    """As loadtests/idle-memory.sh does, with fewer connections and less patience."""
    idle_memory.QUIET_SECONDS = QUIET_SECONDS
    port = running.work.tls_port if row.idle == "tls" else running.work.plain_port
    options = argparse.Namespace(kind=row.idle, port=port, ca=str(proxies.certificates / "ca.pem"))
    with idle_memory.Clients(options, idle_memory.WARM_UP_CONNECTIONS):
        pass
    before = idle_memory.settled_memory(running.group)
    with idle_memory.Clients(options, connections) as clients:
        after = idle_memory.settled_memory(running.group)
        resident = accounting.resident_kib(running.group)
        established = clients.established()
    if established != connections:
        sys.exit(f"bench: {row.name}, {running.name}: only {established} of {connections} connections were still open")
    return {"kib_per_connection": (after - before) / connections, "resident_kib": resident}
