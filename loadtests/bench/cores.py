"""Which core the proxy has, and which the clients and the origin have."""

import os
import pathlib
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    proxy: int
    clients: int
    origin: int

    def __str__(self) -> str:
        return f"proxy on core {self.proxy}, clients on {self.clients}, origin on {self.origin}"


def divide_cores() -> Cores:
    available = sorted(os.sched_getaffinity(0))
    cores = choose(available, {core: siblings(core) for core in available})
    if cores.proxy == cores.clients:
        print("bench: one core only: proxy and clients share it, and the times say little", file=sys.stderr)
    return cores


def choose(available: list[int], siblings_of: dict[int, set[int]]) -> Cores:
    """Hardware threads of one core slow each other down: the proxy shares its own with
    nobody where there are enough."""
    proxy = available[0]
    others = [core for core in available if core != proxy]
    apart = [core for core in others if core not in siblings_of[proxy]] or others or [proxy]
    clients = apart[0]
    rest = [core for core in apart if core != clients]
    unshared = [core for core in rest if core not in siblings_of[clients]]
    origin = (unshared or rest or [clients])[0]
    return Cores(proxy, clients, origin)


def siblings(core: int) -> set[int]:
    """The hardware threads of the same core, itself among them."""
    path = pathlib.Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        return parse_list(path.read_text())
    except OSError:
        return {core}


def parse_list(text: str) -> set[int]:
    """The kernel's form: 0,4 or 0-1."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
