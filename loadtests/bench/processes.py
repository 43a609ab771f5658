"""Processes that are started and stopped, and the cores that they run on.

Every process has a group of its own, so that Ctrl-C reaches the benchmark only, and so
that all processes of a proxy can be found. All of them are stopped by their ids when
the benchmark ends, in whatever way.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

# Access logs and bodies of minutes; less than that and a container's /dev/shm is full.
ROOM_IN_MEMORY = 2 << 30

STOP_SECONDS = 10


def fail(message: str) -> None:
    sys.exit(f"bench: {message}")


def scratch_directory() -> pathlib.Path:
    """In memory, where that is large enough: no row is to measure a disk."""
    shared_memory = pathlib.Path("/dev/shm")
    parent = None
    if os.access(shared_memory, os.W_OK) and shutil.disk_usage(shared_memory).free > ROOM_IN_MEMORY:
        parent = shared_memory
    return pathlib.Path(tempfile.mkdtemp(prefix="lb-bench.", dir=parent))


def end_on_signals() -> None:
    """As if the program had ended by itself: with every `finally`."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))


class Processes:
    """Those that run; a context that stops what is left."""

    def __init__(self) -> None:
        self.scratch = scratch_directory()
        self.running: list[subprocess.Popen] = []

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave anything behind.
        numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
        handlers = [signal.signal(number, signal.SIG_IGN) for number in numbers]
        for process in reversed(self.running.copy()):
            self.stop(process)
        shutil.rmtree(self.scratch, ignore_errors=True)
        for number, handler in zip(numbers, handlers):
            signal.signal(number, handler)

    def start(self, name: str, core: int | None, command: list, **options) -> subprocess.Popen:
        """On that core; output goes to NAME.log in the scratch directory unless it is wanted."""
        pinned = ["taskset", "-c", str(core)] if core is not None else []
        with (self.scratch / f"{name}.log").open("ab") as log:
            options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log} | options
            process = subprocess.Popen(
                pinned + [str(part) for part in command], start_new_session=True, **options
            )
        self.running.append(process)
        return process

    def stop(self, process: subprocess.Popen, first: int = signal.SIGTERM) -> None:
        """The whole group: with that signal, and with SIGKILL if that is not enough."""
        if process not in self.running:
            return
        for number in (first, signal.SIGKILL):
            send(process.pid, number)
            deadline = time.monotonic() + STOP_SECONDS
            # The leader has to be waited for: its group exists for as long as it is a zombie.
            while time.monotonic() < deadline and (process.poll() is None or send(process.pid, 0)):
                time.sleep(0.01)
            if process.poll() is not None and not send(process.pid, 0):
                break
        self.running.remove(process)

    def run(self, name: str, core: int | None, command: list, seconds: float) -> str:
        """Until its end; its standard output. More than so many seconds is a failure."""
        process = self.start(name, core, command, stdout=subprocess.PIPE, text=True)
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            fail(f"{name} did not end within {seconds:.0f} s")
        finally:
            self.stop(process)
        if process.returncode != 0:
            self.show_log(name)
            fail(f"{name} ended with status {process.returncode}: {output[-2000:]}")
        return output

    def wait_until(self, name: str, process: subprocess.Popen, ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                self.show_log(name)
                fail(f"{name} is not ready; the end of its log is above")
            time.sleep(0.02)

    def show_log(self, name: str) -> None:
        lines = (self.scratch / f"{name}.log").read_text(errors="replace").splitlines()
        print("\n".join(lines[-20:]), file=sys.stderr)


def send(group: int, number: int) -> bool:
    """False when the group has no process left."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
