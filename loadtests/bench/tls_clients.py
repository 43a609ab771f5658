#!/usr/bin/env python3
"""A client that makes TLS connections, one after the other, with a request on each.

    tls_clients.py full|resumed PORT SECONDS

`resumed`: each but the first takes up the session of the one before it, with the ticket
that came with its answer. One at a time, since the client costs more than the proxy:
more of them would only wait for each other. Prints one JSON object; a "request" is a
handshake and its request, and its time begins before the TCP connection.
"""

import socket
import ssl
import sys
import time

from client_result import print_result

TIMEOUT_SECONDS = 10


def main() -> None:
    resumes, port, seconds = sys.argv[1] == "resumed", int(sys.argv[2]), float(sys.argv[3])
    # The certificate is not verified: that is work of the client's alone.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    request = f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode()

    session = None
    if resumes:
        session = exchange(context, port, request, None)
    milliseconds = []
    started = time.perf_counter()
    while (before := time.perf_counter()) < started + seconds:
        newest = exchange(context, port, request, session)
        milliseconds.append((time.perf_counter() - before) * 1000)
        if resumes:
            session = newest
    print_result(milliseconds, before - started)


def exchange(context: ssl.SSLContext, port: int, request: bytes, session: ssl.SSLSession | None) -> ssl.SSLSession:
    """The session that the next connection may take up."""
    plain = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(plain, server_hostname="localhost", session=session) as connection:
        if connection.session_reused != (session is not None):
            sys.exit(f"tls_clients: the session was {'not ' if session else ''}resumed")
        connection.sendall(request)
        answer = b""
        while data := connection.recv(16384):
            answer += data
        if not answer.startswith(b"HTTP/1.1 200 "):
            sys.exit(f"tls_clients: answer: {answer[:100]!r}")
        return connection.session


if __name__ == "__main__":
    main()
