"""What stands behind the proxies: nginx with bodies of three sizes, on as many addresses
as a row has endpoints at most, and an echo for WebSocket."""

import pathlib
import subprocess
import sys
import urllib.request

from cores import Cores
from nginx_config import preamble
from processes import Processes

# Paths, and how long their bodies are. The smallest is in nginx's configuration.
SMALL_BODY = 65
BODIES = {"64k": 64 << 10, "1m": 1 << 20}

MOST_ENDPOINTS = 100

START_SECONDS = 15


class Origin:
    """Runs until the processes are stopped."""

    def __init__(self, processes: Processes, cores: Cores, port: int, websocket_port: int) -> None:
        # Addresses of loopback instead of ports: one free port is enough.
        self.addresses = tuple(f"127.0.1.{number}:{port}" for number in range(1, MOST_ENDPOINTS + 1))
        self.websocket_address = f"127.0.0.1:{websocket_port}"
        directory = processes.scratch / "origin"
        (directory / "www").mkdir(parents=True)
        for name, size in BODIES.items():
            (directory / "www" / name).write_bytes(b"o" * size)
        configuration = directory / "nginx.conf"
        configuration.write_text(self.configuration(directory))
        command = ["nginx", "-p", directory, "-e", "stderr", "-c", configuration]
        nginx = processes.start("origin", cores.origin, command)
        processes.wait_until("origin", nginx, self.answers, START_SECONDS)

        script = pathlib.Path(__file__).with_name("websocket_origin.py")
        command = [sys.executable, script, websocket_port]
        echo = processes.start("websocket-origin", cores.origin, command, stdout=subprocess.PIPE, text=True)
        processes.wait_until("websocket-origin", echo, lambda: echo.stdout.readline() == "listening\n", START_SECONDS)

    def configuration(self, directory: pathlib.Path) -> str:
        listens = "".join(f"\n        listen {address};" for address in self.addresses)
        return f"""\
{preamble(directory)}
    access_log off;
    open_file_cache max=16;
    sendfile on;
    tcp_nopush on;
    client_max_body_size 10m;
    server {{{listens}
        root {directory}/www;
        location / {{ return 200 "{"o" * SMALL_BODY}"; }}
        {"".join(f"location = /{name} {{ }} " for name in BODIES)}
    }}
}}
"""

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.addresses[0]}/", timeout=5) as response:
                return response.status == 200
        except OSError:
            return False
