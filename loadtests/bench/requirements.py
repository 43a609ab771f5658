"""What the benchmark needs, looked for before anything is started."""

import importlib.util
import shutil
import subprocess
import sys

COMMANDS = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "openssl": "openssl",
    "strace": "strace",
    "valgrind": "valgrind",
    "callgrind_control": "valgrind",
    "taskset": "util-linux",
}

# Debian's Python, for which python3-matplotlib is; another one may be first on the PATH.
PYTHON_OF_THE_SYSTEM = "/usr/bin/python3"


def check(commands: dict[str, str] = COMMANDS, chart: bool = True) -> None:
    missing = {package for command, package in commands.items() if not shutil.which(command)}
    if chart and not python_with_matplotlib():
        missing.add("python3-matplotlib")
    if missing:
        sys.exit(
            f"bench: these Debian packages are missing: {' '.join(sorted(missing))}\n"
            "scripts/bootstrap.sh bench installs them"
        )


def python_with_matplotlib() -> str | None:
    if importlib.util.find_spec("matplotlib"):
        return sys.executable
    if shutil.which(PYTHON_OF_THE_SYSTEM):
        command = [PYTHON_OF_THE_SYSTEM, "-c", "import matplotlib"]
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0:
            return PYTHON_OF_THE_SYSTEM
    return None
