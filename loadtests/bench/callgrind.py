"""Instructions per request, of small keep-alive requests on one connection.

They hardly depend on the machine, and not at all on what else it does. valgrind runs
one thread at a time and shows programs an older processor: what the count says about
time is little, what its growth says about the code is much.
"""

import subprocess

import parse
from processes import fail
from proxies import LB, LB_PINGORA, Proxies
from work import Variant

ENGINES = (LB, LB_PINGORA)

# Pools, tables and lazily made things are there after these.
WARM_UP_REQUESTS = 500
REQUESTS = 2000

PATIENCE_SECONDS = 120


def count(proxies: Proxies, name: str) -> int:
    out = proxies.processes.scratch / "callgrind.out"
    tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
    with proxies.running(name, Variant(), tool) as running:
        target = proxies.target(running)

        def requests(number: int) -> None:
            load = ["h2load", "--h1", "-t", 1, "-c", 1, "-n", number, target.url("/", False)]
            output = target.run("h2load", load, PATIENCE_SECONDS)
            if f" {number} succeeded," not in output:
                fail(f"{name} under valgrind: requests failed: {output}")

        requests(WARM_UP_REQUESTS)
        switch(running.group, "on")
        requests(REQUESTS)
        switch(running.group, "off")
        # It writes the file when it ends.
        proxies.processes.stop(running.process)
    try:
        return round(parse.callgrind_instructions(out) / REQUESTS)
    except (OSError, parse.Unreadable) as error:
        proxies.processes.show_log(name)
        fail(f"{name} under valgrind: {error}")
    finally:
        out.unlink(missing_ok=True)


def switch(pid: int, state: str) -> None:
    done = subprocess.run(["callgrind_control", "-i", state, str(pid)], capture_output=True, text=True)
    if done.returncode != 0 or "OK" not in done.stdout:
        fail(f"callgrind_control -i {state}: {done.stdout}{done.stderr}")
