#!/usr/bin/env python3
"""An origin that echoes short WebSocket messages.

    websocket_origin.py PORT

Prints "listening" when it does, on 127.0.0.1.
"""

import asyncio
import sys

from websocket_frames import MASKED, MASKED_HEAD, accept_of, frame, masked


class Echo(asyncio.Protocol):
    """A connection; callbacks, since streams of asyncio cost twice as much."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.received = b""
        self.upgraded = False

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.upgraded and b"\r\n\r\n" in self.received:
            head, self.received = self.received.split(b"\r\n\r\n", 1)
            self.accept(head.decode("latin-1"))
        if self.upgraded:
            self.echo()

    def accept(self, head: str) -> None:
        fields = {}
        for line in head.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        self.upgraded = True
        self.transport.write(
            (
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                f"Sec-WebSocket-Accept: {accept_of(fields['sec-websocket-key'])}\r\n\r\n"
            ).encode()
        )

    def echo(self) -> None:
        while len(self.received) >= MASKED_HEAD:
            end = MASKED_HEAD + (self.received[1] & ~MASKED)
            if len(self.received) < end:
                break
            mask, payload = self.received[2:MASKED_HEAD], self.received[MASKED_HEAD:end]
            self.transport.write(frame(masked(payload, mask)))
            self.received = self.received[end:]


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
