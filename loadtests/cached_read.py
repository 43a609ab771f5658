#!/usr/bin/env python3
"""A user from the cache beside /health, of the same backend, through lb.

    cached_read.py LB BACKEND FLEET JSON [--seconds N] [--rounds N]

Starts the fleet (at its ports, with data of its own), and a second lb in front of
backend-1 alone, without limits and without an access log. Then wrk asks for the two
paths by turns, so that what else the machine does meets both, and the ratio of each
round is taken. Exits with 1 when a response was not a 2xx, or a read did not come from
the cache; never because of a ratio.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from circumstances import model_of_cpu
from free_ports import free_ports

BACKEND = "http://127.0.0.1:8001"
CONNECTIONS = 64

CONFIG = """
version: 1
status: {{ address: 127.0.0.1:{status} }}
access_log: {{ path: /dev/null, format: json }}
listeners:
  http: {{ bind: ["127.0.0.1:{http}"] }}
  https:
    bind: ["127.0.0.1:{https}"]
    tls: {{ certificates: [{{ cert: "{certs}/api.pem", key: "{certs}/api.key" }}] }}
upstreams:
  backend_1:
    endpoints: [{{ address: "127.0.0.1:8001" }}]
    keepalive: {{ max_idle: 256 }}
virtual_hosts:
  - hosts: ["*"]
    routes:
      - {{ match: {{ path_prefix: / }}, upstream: backend_1, access_log: false }}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("lb", "backend", "fleet", "json"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=5, help="of each run of wrk")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        data = pathlib.Path("target/fleet-load").absolute()
        fleet = [str(options.fleet), "--directory", str(data)]
        up = ["up", "--fresh", "--lb", str(options.lb), "--backend", str(options.backend)]
        subprocess.run(fleet + up, check=True, stdout=subprocess.DEVNULL)
        try:
            report = measure(options, pathlib.Path(scratch))
        finally:
            subprocess.run(fleet + ["stop"], check=True, stdout=subprocess.DEVNULL)
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    show(report)
    if report["problems"]:
        sys.exit("\n".join(f"FAILED  {problem}" for problem in report["problems"]))


def measure(options: argparse.Namespace, scratch: pathlib.Path) -> dict:
    http, https, status = free_ports(3)
    config = scratch / "lb.yaml"
    certs = pathlib.Path("certs/dev").absolute()
    config.write_text(CONFIG.format(http=http, https=https, status=status, certs=certs))
    lb = subprocess.Popen(
        [str(options.lb), "run", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(f"http://127.0.0.1:{status}/readyz")
        user = sign_up()
        problems: list = []
        cases = []
        for name, base in (
            ("through lb, TLS", f"https://localhost:{https}"),
            ("through lb, plain", f"http://localhost:{http}"),
            ("without lb", BACKEND),
        ):
            cases.append(case(name, base, user, options, problems))
    finally:
        lb.terminate()
        lb.wait()
    return {"cpu": model_of_cpu(), "connections": CONNECTIONS, "cases": cases, "problems": problems}


def case(name: str, base: str, user: str, options: argparse.Namespace, problems: list) -> dict:
    paths = {"health": "/health", "cached": user}
    rates: dict = {kind: [] for kind in paths}
    for kind, path in paths.items():
        wrk(base + path, 1, problems)  # warms up
    before = lookups()
    for number in range(options.rounds):
        # Each is first as often as second.
        for kind in sorted(paths, reverse=number % 2 == 1):
            rates[kind].append(wrk(base + paths[kind], options.seconds, problems))
    after = lookups()
    hits, misses = (after[result] - before[result] for result in ("hit", "miss"))
    # The entry ends once a minute, and is read again.
    if hits == 0 or misses > hits / 100:
        problems.append(f"{name}: {hits} reads from the cache, {misses} not")
    ratios = [cached / health for cached, health in zip(rates["cached"], rates["health"])]
    return {
        "name": name,
        "health_per_second": round(statistics.median(rates["health"])),
        "cached_per_second": round(statistics.median(rates["cached"])),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def wrk(url: str, seconds: int, problems: list) -> float:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in text.splitlines():
        if "Non-2xx" in line or "Socket errors" in line:
            problems.append(f"{url}: {line.strip()}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    return float(found.group(1)) if found else 0.0


def lookups() -> dict:
    """How often backend-1 has looked into the cache, by result."""
    with urllib.request.urlopen(f"{BACKEND}/api/v1/scaling/metrics/prometheus") as response:
        text = response.read().decode()
    pattern = r'^fastnext_cache_lookups_total\{result="(\w+)"\} (\d+)'
    return {result: int(count) for result, count in re.findall(pattern, text, re.MULTILINE)}


def sign_up() -> str:
    """The path of a new user, who is in the cache."""
    user = {"email": "load@example.com", "name": "Load", "password": "correct horse"}
    request = urllib.request.Request(
        f"{BACKEND}/api/v1/users",
        data=json.dumps(user).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return response.headers["Location"]


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def show(report: dict) -> None:
    print(f"\n{report['cpu']}, wrk with {report['connections']} connections; medians of the rounds\n")
    print(f"{'':<20}{'/health':>12}{'a user':>12}{'ratio':>8}   of each round")
    for one in report["cases"]:
        rounds = " ".join(f"{ratio:.2f}" for ratio in one["ratios"])
        rates = f"{one['health_per_second']:>10}/s{one['cached_per_second']:>10}/s"
        print(f"{one['name']:<20}{rates}{one['ratio']:>8.2f}   {rounds}")


if __name__ == "__main__":
    main()
