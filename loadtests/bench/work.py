"""The work that every proxy is configured for, the same for all of them.

One worker; least connections over the endpoints; a rate limit for each client's
address; forwarded headers and a request id to the endpoint; security headers to the
client; an access log in JSON, buffered; TLS 1.3 with one certificate, one cipher suite
and one group for the key exchange, tickets on. A row may change the numbers in here,
and nothing else: no row switches off for lb what the peers run.
"""

import pathlib
from dataclasses import dataclass

# What is wanted of a rate limit that refuses nobody: it is charged all the same.
RATE_OF_NO_REFUSAL = 1_000_000
# So low that of a flood nearly everything is refused.
RATE_OF_A_FLOOD = 1

# Chosen by all three, whichever the client prefers.
CIPHER_SUITE = "TLS_AES_128_GCM_SHA256"
GROUP = "X25519"

HSTS = "max-age=31536000"
SECURITY_HEADERS = {"X-Frame-Options": "SAMEORIGIN", "X-Content-Type-Options": "nosniff"}

# More idle connections to endpoints than any row has exchanges at once.
IDLE_CONNECTIONS_TO_ENDPOINTS = 256

# The body of an upload, and more: it is not to be spooled to a disk.
ROOM_FOR_A_BODY = "128k"


@dataclass(frozen=True)
class Variant:
    """What differs between rows."""

    endpoints: int = 3
    routes: int = 0
    rate: int = RATE_OF_NO_REFUSAL

    @property
    def burst(self) -> int:
        """A tenth of a second."""
        return self.rate // 10


@dataclass(frozen=True)
class Work:
    """A variant, and where everything is."""

    variant: Variant
    directory: pathlib.Path
    certificates: pathlib.Path
    plain_port: int
    tls_port: int
    status_port: int
    log_port: int
    endpoints: tuple[str, ...]
    websocket_endpoint: str

    @property
    def access_log(self) -> pathlib.Path:
        return self.directory / "access.log"

    def routes(self) -> list[str]:
        """Prefixes. They lead to the same endpoints: it is the finding that is measured."""
        return [f"/r/{number}/" for number in range(self.variant.routes)]
