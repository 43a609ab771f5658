#!/usr/bin/env python3
"""Takes HAProxy's access log: reads everything from one connection and drops it.

    log_drain.py PORT

Prints "listening", and when the connection ends how many lines came.
"""

import socket
import sys

from haproxy_config import BEGINNING_OF_A_LINE


def main() -> None:
    mark = BEGINNING_OF_A_LINE.encode()
    lines = 0
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        print("listening", flush=True)
        connection, _ = listener.accept()
    kept = b""
    while data := connection.recv(1 << 20):
        data = kept + data
        lines += data.count(mark)
        # A mark may be divided between two reads, and must not be counted in both.
        kept = data[-(len(mark) - 1) :]
    print(lines, flush=True)


if __name__ == "__main__":
    main()
