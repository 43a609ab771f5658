"""nginx's configurations: as a proxy, and what it shares with the origin."""

import os
import pathlib

from work import (
    CIPHER_SUITE,
    GROUP,
    HSTS,
    IDLE_CONNECTIONS_TO_ENDPOINTS,
    ROOM_FOR_A_BODY,
    SECURITY_HEADERS,
    Work,
)

# The fields of lb's log that nginx knows.
LOG_FORMAT = ",".join(
    f'"{name}":{value}'
    for name, value in {
        "time": '"$time_iso8601"',
        "request_id": '"$request_id"',
        "client": '"$remote_addr"',
        "listener": '"$server_port"',
        "method": '"$request_method"',
        "host": '"$http_host"',
        "target": '"$request_uri"',
        "protocol": '"$server_protocol"',
        "status": "$status",
        "bytes_sent": "$body_bytes_sent",
        "bytes_received": "$request_length",
        "duration_ms": "$request_time",
        "upstream": '"$proxy_host"',
        "endpoint": '"$upstream_addr"',
        "user_agent": '"$http_user_agent"',
    }.items()
)


def preamble(directory: pathlib.Path) -> str:
    """Up to and into http { }. Debian's paths belong to root: temporary files go there."""
    user = "user root;" if os.getuid() == 0 else ""
    return f"""\
{user}
daemon off;
worker_processes 1;
pid {directory}/pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
"""


def configuration(work: Work) -> str:
    """Where a default costs nginx more than another value does, the other one is set:

    - proxy_buffers: 32 KiB each instead of 4 or 8; it halves the cost of a body of 64 KiB.
    - proxy_max_temp_file_size, client_body_buffer_size: nothing goes through a file.
    - limit_req_log_level: no line in the error log for each request of a flood.
    """
    with_hsts = SECURITY_HEADERS | {"Strict-Transport-Security": HSTS}
    endpoints = "".join(f"\n        server {address};" for address in work.endpoints)
    # A burst of 0 is what nginx has without one, and is refused when it is written.
    burst = f" burst={work.variant.burst} nodelay" if work.variant.burst else ""
    return f"""\
{preamble(work.directory)}
    log_format json escape=json '{{{LOG_FORMAT}}}';
    access_log {work.access_log} json buffer=32k flush=1s;
    upstream origin {{
        zone origin 512k;
        least_conn;{endpoints}
        keepalive {IDLE_CONNECTIONS_TO_ENDPOINTS};
        keepalive_requests 1000000000;
    }}
    upstream echo {{ server {work.websocket_endpoint}; }}
    limit_req_zone $binary_remote_addr zone=clients:10m rate={work.variant.rate}r/s;
    limit_req_status 429;
    limit_req_log_level info;
    limit_req zone=clients{burst};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    {forwarded_headers()}
    proxy_buffer_size 32k;
    proxy_buffers 8 32k;
    proxy_busy_buffers_size 64k;
    proxy_max_temp_file_size 0;
    client_body_buffer_size {ROOM_FOR_A_BODY};
    client_header_timeout 1h;
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites {CIPHER_SUITE};
    ssl_ecdh_curve {GROUP};
    ssl_certificate {work.certificates}/api.pem;
    ssl_certificate_key {work.certificates}/api.key;
    {server(work, f"listen 127.0.0.1:{work.plain_port};", SECURITY_HEADERS)}
    {server(work, f"listen 127.0.0.1:{work.tls_port} ssl http2;", with_hsts)}
}}
"""


def forwarded_headers() -> str:
    """What an untrusted client sent is replaced, as lb does it."""
    return """\
proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Request-ID $request_id;"""


def server(work: Work, listen: str, headers: dict[str, str]) -> str:
    added = "".join(f"\n        add_header {name} {value} always;" for name, value in headers.items())
    routes = "".join(f"\n        location {prefix} {{ proxy_pass http://origin; }}" for prefix in work.routes())
    return f"""\
server {{
        {listen}{added}
        location / {{ proxy_pass http://origin; }}
        location /ws {{
            proxy_pass http://echo;
            proxy_set_header Connection upgrade;
            proxy_set_header Upgrade $http_upgrade;
            {forwarded_headers()}
        }}{routes}
    }}"""
