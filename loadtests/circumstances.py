#!/usr/bin/env python3
"""Prints what was measured with what: a JSON object.

    circumstances.py LB [given]

`given`: LB was named by whoever runs this, and may be no release build.
"""

import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys


def circumstances(lb: str, given: bool) -> dict:
    remark = " (given by LB, perhaps no release build)" if given else ""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "cpu": model_of_cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(),
        },
        "versions": {
            "lb": output(lb, "--version") + remark,
            "nginx": output("nginx", "-v").rsplit("/", 1)[-1],
            "haproxy": output("haproxy", "-v").split()[2],
        },
    }


def model_of_cpu() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def output(*command: str) -> str:
    """nginx says its version on standard error."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    print(json.dumps(circumstances(sys.argv[1], sys.argv[2:] == ["given"])))
