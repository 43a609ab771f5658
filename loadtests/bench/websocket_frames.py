"""As much of RFC 6455 as an echo of short binary messages needs, for both of its sides."""

import base64
import hashlib

# Section 1.3.
ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

KEY = base64.b64encode(b"sixteen bytes ok").decode()

FINAL_BINARY = 0x82
MASKED = 0x80
# Of a frame from a client: two bytes, and the mask.
MASKED_HEAD = 6
HEAD = 2
SHORT = 125


def accept_of(key: str) -> str:
    return base64.b64encode(hashlib.sha1((key + ACCEPT_SUFFIX).encode()).digest()).decode()


def upgrade(host: str, path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    ).encode()


def frame(payload: bytes) -> bytes:
    """From a server: without a mask."""
    assert len(payload) <= SHORT
    return bytes([FINAL_BINARY, len(payload)]) + payload


def masked_frame(payload: bytes, mask: bytes) -> bytes:
    assert len(payload) <= SHORT
    return bytes([FINAL_BINARY, MASKED | len(payload)]) + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """As one large number: a loop over bytes would be most of the work."""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")
