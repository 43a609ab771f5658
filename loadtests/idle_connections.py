#!/usr/bin/env python3
"""Opens connections, one after the other, and holds them: nothing is read or sent on
them after the first exchange.

Speaks with whoever started it over standard input and output, a line each:

    opened SECONDS      all of them stand; it took so long
    > established       asks how many the other side has not closed
    established COUNT
    > close             closes all of them, and asks to be told
    closed COUNT        so many did the other side not close before

End of input closes them too. The exit status is 1 when one could not be opened.
"""

import argparse
import socket
import ssl
import struct
import sys
import time

# Linux: the port of a connection is chosen when it connects, with the destination
# known, and not by bind(): so a source address has all of its ports for each listener.
IP_BIND_ADDRESS_NO_PORT = 24

# From each source address so many connections, well below the ports that it has.
CONNECTIONS_PER_SOURCE = 4000

# The first field of struct tcp_info, on Linux.
TCP_ESTABLISHED = 1

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

# How long one connection may take to be opened and answered.
TIMEOUT_SECONDS = 20


def main() -> None:
    options = parse_arguments()
    started = time.monotonic()
    connections = []
    for index in range(options.count):
        try:
            connections.append(open_connection(options, index))
        except (OSError, Unexpected) as error:
            sys.exit(f"idle_connections: {options.kind}, connection {index + 1} of {options.count}: {error}")
    say(f"opened {time.monotonic() - started:.3f}")
    for line in sys.stdin:
        if line.strip() == "established":
            say(f"established {sum(map(is_established, connections))}")
        elif line.strip() == "close":
            break
    remaining = sum(map(is_established, connections))
    for connection in connections:
        connection.close()
    say(f"closed {remaining}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="opens connections and holds them")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--ca", help="PEM: the authority of the TLS kinds")
    options = parser.parse_args()
    if options.kind in ("tls", "h2"):
        options.tls = ssl.create_default_context(cafile=options.ca)
        options.tls.minimum_version = ssl.TLSVersion.TLSv1_3
        if options.kind == "h2":
            options.tls.set_alpn_protocols(["h2"])
    return options


def say(line: str) -> None:
    print(line, flush=True)


class Unexpected(Exception):
    """The other side answered something else."""


def open_connection(options: argparse.Namespace, index: int) -> socket.socket:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.settimeout(TIMEOUT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    connection.bind((f"127.0.0.{2 + index // CONNECTIONS_PER_SOURCE}", 0))
    connection.connect(("127.0.0.1", options.port))
    return KINDS[options.kind](options, connection)


def is_established(connection: socket.socket) -> bool:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED


# ---- the kinds ---------------------------------------------------------------


def silent(_options: argparse.Namespace, connection: socket.socket) -> socket.socket:
    return connection


def plain(_options: argparse.Namespace, connection: socket.socket) -> socket.socket:
    exchange_http1(connection)
    return connection


def tls(options: argparse.Namespace, connection: socket.socket) -> socket.socket:
    connection = options.tls.wrap_socket(connection, server_hostname="localhost")
    exchange_http1(connection)
    return connection


def h2(options: argparse.Namespace, connection: socket.socket) -> socket.socket:
    connection = options.tls.wrap_socket(connection, server_hostname="localhost")
    if connection.selected_alpn_protocol() != "h2":
        raise Unexpected(f"ALPN: {connection.selected_alpn_protocol()}")
    exchange_http2(connection)
    return connection


KINDS = {"silent": silent, "plain": plain, "tls": tls, "h2": h2}


# ---- one exchange ------------------------------------------------------------


def exchange_http1(connection: socket.socket) -> None:
    connection.sendall(REQUEST)
    received = b""
    while b"\r\n\r\n" not in received:
        received += receive(connection)
    head, body = received.split(b"\r\n\r\n", 1)
    lines = head.split(b"\r\n")
    if lines[0].split(b" ")[1:2] != [b"200"]:
        raise Unexpected(f"answer: {lines[0]!r}")
    fields = {key.strip().lower(): value.strip() for key, _, value in (line.partition(b":") for line in lines[1:])}
    if fields.get(b"connection", b"").lower() == b"close" or b"content-length" not in fields:
        raise Unexpected("the answer does not keep the connection")
    while len(body) < int(fields[b"content-length"]):
        body += receive(connection)


def receive(connection: socket.socket) -> bytes:
    data = connection.recv(16384)
    if not data:
        raise Unexpected("closed before the answer was complete")
    return data


# RFC 9113: section 3.4 (preface), section 6 (frames).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
SETTINGS_ENABLE_PUSH = 2

# RFC 7541, literals without indexing (section 6.2.2) whose names are in the static
# table (appendix A), and no Huffman: name's index, length, value.
REQUEST_FIELDS = b"".join(
    bytes([name, len(value)]) + value
    for name, value in ((2, b"GET"), (6, b"https"), (4, b"/"), (1, b"localhost"))
)
# The answer's first field: ":status: 200" is entry 8 of the static table, or a literal.
STATUS_200 = b"\x88"


def exchange_http2(connection: socket.socket) -> None:
    connection.sendall(
        PREFACE
        + frame(SETTINGS, 0, 0, struct.pack("!HI", SETTINGS_ENABLE_PUSH, 0))
        + frame(HEADERS, END_STREAM | END_HEADERS, 1, REQUEST_FIELDS)
    )
    buffer = b""
    acknowledged = ended = False
    while not (acknowledged and ended):
        while len(buffer) < 9 or len(buffer) < 9 + int.from_bytes(buffer[:3], "big"):
            buffer += receive(connection)
        length = int.from_bytes(buffer[:3], "big")
        kind, flags, stream = buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big")
        payload, buffer = buffer[9 : 9 + length], buffer[9 + length :]
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0, b""))
        elif kind == SETTINGS:
            acknowledged = True
        elif kind == PING and not flags & ACK:
            connection.sendall(frame(PING, ACK, 0, payload))
        elif kind in (RST_STREAM, GOAWAY):
            raise Unexpected(f"HTTP/2 frame {kind}: {payload!r}")
        elif kind == HEADERS and not (STATUS_200 in payload or b"200" in payload):
            raise Unexpected("the status is not 200")
        if kind in (DATA, HEADERS) and stream == 1 and flags & END_STREAM:
            ended = True


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


if __name__ == "__main__":
    main()
