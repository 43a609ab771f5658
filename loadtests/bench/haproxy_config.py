"""HAProxy's configuration."""

from work import CIPHER_SUITE, GROUP, HSTS, SECURITY_HEADERS, Work

# The fields of lb's log that HAProxy knows.
LOG_FORMAT = "{" + ",".join(
    f'"{name}":{value}'
    for name, value in {
        "time": '"%tr"',
        "request_id": '"%ID"',
        "client": '"%ci"',
        "listener": '"%ft"',
        "method": '"%HM"',
        "host": '"%[var(txn.host),json(utf8s)]"',
        "target": '"%HU"',
        "protocol": '"%HV"',
        "status": "%ST",
        "bytes_sent": "%B",
        "bytes_received": "%U",
        "duration_ms": "%Ta",
        "upstream": '"%b"',
        "endpoint": '"%si:%sp"',
        "user_agent": '"%[var(txn.agent),json(utf8s)]"',
    }.items()
) + "}"

# What a log line is looked for by; see log_drain.py.
BEGINNING_OF_A_LINE = '{"time":'


def configuration(work: Work) -> str:
    """HAProxy writes no files. Of its ways to get a log out the cheapest is taken: lines
    go to a ring in memory, and from there many at a time over one TCP connection to
    log_drain.py, which runs beside the clients and is not counted. A datagram socket
    would cost a system call for each request.

    Buffers and splicing are left at their defaults: none of tune.bufsize 32768 and
    65536 and of option splice-auto made any row clearly cheaper.
    """
    servers = "".join(
        f"\n    server origin{number} {address}" for number, address in enumerate(work.endpoints)
    )
    routes = ""
    if work.variant.routes:
        # A rule for each route would be tried one after the other; a map is a tree.
        (work.directory / "routes.map").write_text("".join(f"{prefix} origin\n" for prefix in work.routes()))
        routes = f"use_backend %[path,map_beg({work.directory}/routes.map,origin)]"
    return f"""\
global
    maxconn 8192
    nbthread 1
    no strict-limits
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-bind-ciphersuites {CIPHER_SUITE}
    ssl-default-bind-curves {GROUP}
ring access
    format raw
    maxlen 2048
    size 8388608
    timeout connect 5s
    timeout server 10s
    server drain 127.0.0.1:{work.log_port} log-proto octet-count
defaults
    mode http
    balance leastconn
    log ring@access local0
    log-format {quoted(LOG_FORMAT)}
    unique-id-format %[uuid()]
    option http-keep-alive
    timeout connect 10s
    timeout client 1h
    timeout server 60s
    timeout tunnel 1h
    timeout http-request 1h
    timeout http-keep-alive 1h
{frontend(work, "plain", f"bind 127.0.0.1:{work.plain_port}", SECURITY_HEADERS, routes)}
{frontend(
    work,
    "tls",
    f"bind 127.0.0.1:{work.tls_port} ssl crt {work.certificates}/both.pem alpn h2,http/1.1",
    SECURITY_HEADERS | {"Strict-Transport-Security": HSTS},
    routes,
)}
backend clients
    stick-table type ip size 80k expire 10s store http_req_rate(1s)
backend origin
    http-reuse always{servers}
backend echo
    server echo {work.websocket_endpoint}
"""


def frontend(work: Work, name: str, bind: str, headers: dict[str, str], routes: str) -> str:
    scheme = "https" if name == "tls" else "http"
    added = "".join(f"\n    http-after-response set-header {key} {value}" for key, value in headers.items())
    return f"""\
frontend {name}
    {bind}
    http-request set-var(txn.host) req.hdr(host)
    http-request set-var(txn.agent) req.hdr(user-agent)
    http-request track-sc0 src table clients
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {work.variant.rate} }}
    http-request set-header X-Real-IP %[src]
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto {scheme}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Request-ID %[unique-id]{added}
    use_backend echo if {{ path_beg /ws }}
    {routes}
    default_backend origin"""


def quoted(text: str) -> str:
    """For HAProxy's parser: a backslash before what it takes apart."""
    return "".join("\\" + character if character in ' "\\#' else character for character in text)
