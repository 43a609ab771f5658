#!/usr/bin/env python3
"""Clients of a WebSocket echo: each sends a message, and the next one when it is back.

    websocket_clients.py PORT CONNECTIONS SECONDS

Prints one JSON object; a "request" is a message and its echo.
"""

import selectors
import socket
import sys
import time

from client_result import print_result
from websocket_frames import HEAD, KEY, accept_of, frame, masked_frame, upgrade

PAYLOAD = bytes(range(64))
MASK = b"\x37\xfa\x21\x3d"
MESSAGE = masked_frame(PAYLOAD, MASK)
ECHO = frame(PAYLOAD)

TIMEOUT_SECONDS = 10


def main() -> None:
    port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    selector = selectors.DefaultSelector()
    clients = [Client(port) for _ in range(count)]
    for client in clients:
        selector.register(client.connection, selectors.EVENT_READ, client)
    milliseconds: list[float] = []
    started = time.perf_counter()
    for client in clients:
        client.send()
    while (now := time.perf_counter()) < started + seconds:
        ready = selector.select(TIMEOUT_SECONDS)
        if not ready:
            sys.exit("websocket_clients: no echo came any more")
        for key, _ in ready:
            if key.data.receive():
                milliseconds.append((time.perf_counter() - key.data.sent) * 1000)
                key.data.send()
    print_result(milliseconds, now - started)


class Client:
    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.sendall(upgrade(f"127.0.0.1:{port}", "/ws"))
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = self.connection.recv(4096)
            if not data:
                sys.exit(f"websocket_clients: no upgrade: {answer!r}")
            answer += data
        head, self.received = answer.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 101 ") or accept_of(KEY).encode() not in head:
            sys.exit(f"websocket_clients: no upgrade: {head!r}")
        self.sent = 0.0

    def send(self) -> None:
        self.sent = time.perf_counter()
        self.connection.sendall(MESSAGE)

    def receive(self) -> bool:
        """True when the whole echo is there."""
        data = self.connection.recv(HEAD + len(PAYLOAD))
        if not data:
            sys.exit("websocket_clients: closed")
        self.received += data
        if len(self.received) < len(ECHO):
            return False
        if self.received != ECHO:
            sys.exit(f"websocket_clients: this is no echo: {self.received!r}")
        self.received = b""
        return True


if __name__ == "__main__":
    main()
