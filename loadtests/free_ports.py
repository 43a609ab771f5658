#!/usr/bin/env python3
"""Prints ports that are free on loopback.

    free_ports.py COUNT
"""

import pathlib
import random
import socket
import sys


def free_ports(count: int) -> list[int]:
    """Below those that the system gives to connections, so that nobody's connection is
    in the way of a listener."""
    range_of_connections = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    lowest_of_connections = int(range_of_connections.split()[0])
    taken: list[socket.socket] = []
    for port in random.sample(range(10000, max(lowest_of_connections, 12000)), 1000):
        candidate = socket.socket()
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            candidate.close()
            continue
        taken.append(candidate)
        if len(taken) == count:
            break
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    if len(ports) < count:
        sys.exit("no free ports")
    return ports


if __name__ == "__main__":
    print(*free_ports(int(sys.argv[1])))
