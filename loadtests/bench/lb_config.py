"""lb's configuration."""

from work import CIPHER_SUITE, GROUP, HSTS, IDLE_CONNECTIONS_TO_ENDPOINTS, SECURITY_HEADERS, Work


def configuration(work: Work, engine: str) -> str:
    headers = ", ".join(f"{name}: {value}" for name, value in SECURITY_HEADERS.items())
    endpoints = ", ".join(f'{{ address: "{address}" }}' for address in work.endpoints)
    routes = "".join(
        f"\n      - {{ match: {{ path_prefix: {prefix} }}, upstream: origin, rate_limits: [clients] }}"
        for prefix in work.routes()
    )
    return f"""\
version: 1
workers: 1
status: {{ address: "127.0.0.1:{work.status_port}" }}
access_log: {{ path: {work.access_log}, format: json }}
shutdown: {{ drain_timeout: 1s }}
listeners:
  plain:
    bind: ["127.0.0.1:{work.plain_port}"]
    engine: {engine}
    response_headers: {{ set: {{ {headers} }} }}
  tls:
    bind: ["127.0.0.1:{work.tls_port}"]
    engine: {engine}
    response_headers: {{ set: {{ {headers}, Strict-Transport-Security: {HSTS} }} }}
    tls:
      min_version: "1.3"
      ciphers: [{CIPHER_SUITE}]
      key_exchange: [{GROUP}]
      certificates: [{{ cert: {work.certificates}/api.pem, key: {work.certificates}/api.key }}]
upstreams:
  origin:
    balance: least_connections
    keepalive: {{ max_idle: {IDLE_CONNECTIONS_TO_ENDPOINTS} }}
    endpoints: [{endpoints}]
  echo: {{ endpoints: [{{ address: "{work.websocket_endpoint}" }}] }}
rate_limits:
  clients: {{ key: client_ip, rate: {work.variant.rate}/s, burst: {work.variant.burst} }}
virtual_hosts:
  - hosts: ["*"]
    routes:
      - {{ match: {{ path_prefix: / }}, upstream: origin, rate_limits: [clients] }}
      - {{ match: {{ path_prefix: /ws }}, upstream: echo, rate_limits: [clients], websocket: true }}{routes}
"""
