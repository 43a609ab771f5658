#!/usr/bin/env python3
"""Clients that send one byte a second of a request head that never ends.

Prints `started COUNT` when all of them are connected, and in the end `dripped` and a
JSON object: how many the other side closed, with which status, after how long. Ends
when all of them are closed, or after --seconds.
"""

import argparse
import collections
import json
import selectors
import socket
import statistics
import time

# Linux; see idle_connections.py.
IP_BIND_ADDRESS_NO_PORT = 24
CONNECTIONS_PER_SOURCE = 4000

BEGINNING = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Drip: "


def main() -> None:
    parser = argparse.ArgumentParser(description="clients that drip")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    options = parser.parse_args()

    selector = selectors.DefaultSelector()
    drippers = [Dripper(options.port, index) for index in range(options.count)]
    for dripper in drippers:
        selector.register(dripper.connection, selectors.EVENT_READ, dripper)
    print(f"started {options.count}", flush=True)
    drip(selector, drippers, time.monotonic() + options.seconds)
    print("dripped", json.dumps(result(drippers)), flush=True)


class Dripper:
    def __init__(self, port: int, index: int) -> None:
        self.connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.connection.settimeout(20)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.connection.bind((f"127.0.0.{2 + index // CONNECTIONS_PER_SOURCE}", 0))
        self.connection.connect(("127.0.0.1", port))
        self.connection.setblocking(False)
        self.started = time.monotonic()
        self.sent = 0
        self.received = b""
        self.closed_after: float | None = None

    def send_next(self) -> None:
        byte = BEGINNING[self.sent : self.sent + 1] or b"x"
        self.connection.send(byte)
        self.sent += 1

    def receive(self) -> bool:
        """False when the other side has closed."""
        data = self.connection.recv(4096)
        self.received = (self.received + data)[:64]
        return data != b""


def drip(selector: selectors.BaseSelector, drippers: list[Dripper], deadline: float) -> None:
    # The second is spread over all of them: the load is even.
    rounds = 0
    position = 0
    started = time.monotonic()
    remaining = len(drippers)
    while remaining and (now := time.monotonic()) < deadline:
        due = started + rounds + position / len(drippers)
        for key, _ in selector.select(max(0.0, min(due - now, deadline - now))):
            remaining -= attend(selector, key.data, key.data.receive)
        if time.monotonic() < due:
            continue
        dripper = drippers[position]
        if dripper.closed_after is None:
            remaining -= attend(selector, dripper, dripper.send_next)
        position += 1
        if position == len(drippers):
            rounds, position = rounds + 1, 0


def attend(selector: selectors.BaseSelector, dripper: Dripper, act) -> int:
    """Acts; 1 when that showed that the other side has closed."""
    try:
        if act() is not False:
            return 0
    except BlockingIOError:
        return 0
    except OSError:
        pass
    if dripper.closed_after is not None:
        return 0
    dripper.closed_after = time.monotonic() - dripper.started
    selector.unregister(dripper.connection)
    dripper.connection.close()
    return 1


def result(drippers: list[Dripper]) -> dict:
    closed = [dripper for dripper in drippers if dripper.closed_after is not None]
    statuses = collections.Counter(status(dripper.received) for dripper in closed)
    times = sorted(dripper.closed_after for dripper in closed)
    return {
        "drippers": len(drippers),
        "closed_by_proxy": len(closed),
        "statuses": dict(statuses),
        "closed_after_s": {"first": round(times[0], 1), "median": round(statistics.median(times), 1), "last": round(times[-1], 1)} if times else None,
    }


def status(received: bytes) -> str:
    if received.startswith(b"HTTP/1."):
        return received.split(b" ", 2)[1].decode(errors="replace")
    return "no answer"


if __name__ == "__main__":
    main()
