"""System calls per request, of small keep-alive requests."""

import signal
import subprocess

import accounting
import parse
from loads import Wrk
from processes import fail
from proxies import Proxies
from work import Variant

REQUESTS = 20_000
CONNECTIONS = 16

# Attaching to all threads, or writing the summary.
PATIENCE_SECONDS = 30


def count(proxies: Proxies, name: str) -> dict[str, float]:
    """By name, and "all"; what comes less than once in a hundred requests is in the sum only."""
    with proxies.running(name, Variant()) as running:
        target = proxies.target(running)
        Wrk().warm_up(target)
        summary = proxies.processes.scratch / "strace"
        command = ["strace", "-f", "-c", "-U", "time-percent,total-time,avg-time,calls,errors,name", "-o", summary]
        for pid in accounting.processes(running.group):
            command += ["-p", pid.name]
        strace = proxies.processes.start("strace", None, command, stderr=subprocess.PIPE, text=True)
        if "attached" not in strace.stderr.readline():
            fail("strace may not attach to a process; is ptrace allowed here?")
        load = ["h2load", "--h1", "-t", 1, "-c", CONNECTIONS, "-n", REQUESTS, target.url("/", False)]
        target.run("h2load", load, PATIENCE_SECONDS)
        # It detaches, and writes its summary.
        proxies.processes.stop(strace, signal.SIGINT)
        calls = parse.strace_calls(summary.read_text())
    per_request = {call: number / REQUESTS for call, number in calls.items()}
    often = {call: round(number, 3) for call, number in per_request.items() if number >= 0.01}
    return {"all": round(sum(per_request.values()), 3)} | often
