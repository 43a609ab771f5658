"""What every script in here starts with: certificates, cores, an origin, the proxies."""

import os
import pathlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
# The modules that the other load tests use too.
sys.path.insert(0, str(HERE.parent))

from cores import Cores, divide_cores  # noqa: E402
from free_ports import free_ports  # noqa: E402
from origin import Origin  # noqa: E402
from processes import Processes, end_on_signals, fail  # noqa: E402
from proxies import Proxies  # noqa: E402


@contextmanager
def rig() -> Iterator[tuple[Proxies, Cores]]:
    # The Lua scripts name each other by their paths from here.
    os.chdir(ROOT)
    lb = find_lb()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    end_on_signals()
    cores = divide_cores()
    with Processes() as processes:
        certificates = processes.scratch / "certs"
        subprocess.run(["certs/make-dev.sh", certificates], stdout=subprocess.DEVNULL, check=True)
        # HAProxy wants both in one file.
        both = (certificates / "api.pem").read_text() + (certificates / "api.key").read_text()
        (certificates / "both.pem").write_text(both)
        origin = Origin(processes, cores, *free_ports(2))
        yield Proxies(processes, cores, lb, certificates, origin), cores


def find_lb() -> pathlib.Path:
    """As the other load tests do: LB, or the release build."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    lb = pathlib.Path(os.environ.get("LB") or target / "release/lb").resolve()
    if not os.access(lb, os.X_OK):
        fail(f"there is no {lb}: cargo build --release -p lb, or say which with LB=")
    return lb


def results() -> pathlib.Path:
    return pathlib.Path(os.environ.get("RESULTS") or ROOT / "loadtests/results")
