"""Whether lb and backend take what the manifests of k8s/ give them.

scripts/test-k8s-manifests.sh says in the environment where the programs are (LB_BIN,
BACKEND_BIN), and a directory with a tls.crt and a tls.key (TLS_DIRECTORY).
"""

import contextlib
import itertools
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from k8s import OVERLAYS, ROOT, Overlay, container, name_of, port_number, ports  # noqa: E402

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


class Lb(unittest.TestCase):
    def check(self, configuration: str, settings: Mapping[str, str] = {}) -> None:
        """By hand, outside of any cluster; or with the settings of a pod."""
        environment = {"TLS_DIRECTORY": os.environ["TLS_DIRECTORY"], **settings}
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "lb.yaml"
            path.write_text(configuration, encoding="utf-8")
            done = subprocess.run(
                [os.environ["LB_BIN"], "check", "--config", path],
                env=environment, capture_output=True, text=True, timeout=60,
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertNotIn("warning:", done.stdout + done.stderr)

    def test_its_configuration_is_sound(self) -> None:
        for overlay in OVERLAYS:
            text = overlay.config("lb-config")["lb.yaml"]
            self.check(text)
            settings = overlay.environment(overlay.one("Deployment", "lb"))
            self.check(text, settings)
            self.check(text, settings | {"ZONE": "eu-1a"})

    def test_it_is_sound_without_the_api_server_too(self) -> None:
        for overlay in OVERLAYS:
            self.check(overlay.lb_by_dns())

    def test_it_is_sound_with_the_proxy_protocol_too(self) -> None:
        for overlay in OVERLAYS:
            text, count = re.subn("# (proxy_protocol:)", r"\1", overlay.config("lb-config")["lb.yaml"])
            self.assertEqual(count, len(overlay.lb()["listeners"]))
            self.check(text)

    def test_it_reads_the_files_that_are_mounted(self) -> None:
        for overlay in OVERLAYS:
            lb = overlay.one("Deployment", "lb")
            mounts = {mount["name"]: mount["mountPath"] for mount in container(lb)["volumeMounts"]}
            self.assertEqual(container(lb)["args"], ["run", "--config", mounts["config"] + "/lb.yaml"])
            # The kubelet changes the file under a running process.
            self.assertTrue(overlay.lb()["reload"]["watch"])
            (pair,) = overlay.lb()["listeners"]["https"]["tls"]["certificates"]
            default = "${TLS_DIRECTORY:-" + mounts["tls"] + "}"
            self.assertEqual(pair, {"cert": default + "/tls.crt", "key": default + "/tls.key"})

    def test_it_binds_what_its_service_and_its_probes_use(self) -> None:
        for overlay in OVERLAYS:
            lb, configuration = overlay.one("Deployment", "lb"), overlay.lb()
            bound = {name: bind_port(one["bind"][0]) for name, one in configuration["listeners"].items()}
            bound["status"] = bind_port(configuration["status"]["address"])
            self.assertEqual(bound, ports(lb), overlay.name)
            service = overlay.one("Service", "lb")["spec"]
            self.assertEqual((service["type"], service["externalTrafficPolicy"]), ("LoadBalancer", "Local"))
            self.assertEqual(
                {port["port"]: port_number(lb, port["targetPort"]) for port in service["ports"]},
                {80: bound["http"], 443: bound["https"]},
            )
            asked = {name: container(lb)[name]["httpGet"] for name in PROBES}
            self.assertEqual(
                {name: (get["path"], get["port"]) for name, get in asked.items()},
                {
                    "livenessProbe": ("/healthz", "status"),
                    "readinessProbe": ("/readyz", "status"),
                    "startupProbe": ("/readyz", "status"),
                },
            )


class Backend(unittest.TestCase):
    help = subprocess.run(
        [os.environ["BACKEND_BIN"], "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout

    def test_it_knows_its_settings(self) -> None:
        known = set(re.findall(r"\[env: (\w+)\b", self.help))
        self.assertIn("POSTGRES_PASSWORD_FILE", known)
        for overlay in OVERLAYS:
            for name in ("backend-api", "frontend"):
                settings = overlay.environment(overlay.one("Deployment", name))
                self.assertLessEqual(settings.keys(), known, (overlay.name, name))

    def test_no_secret_stands_in_an_environment(self) -> None:
        for overlay in OVERLAYS:
            for deployment in overlay.deployments():
                for name in overlay.environment(deployment):
                    if "PASSWORD" in name or "KEY" in name:
                        self.assertTrue(name.endswith("_FILE"), (overlay.name, name))

    def test_it_starts_with_them_and_answers_its_probes(self) -> None:
        for overlay in OVERLAYS:
            for name in ("backend-api", "frontend"):
                deployment = overlay.one("Deployment", name)
                with running(overlay, deployment) as address:
                    for probe in PROBES:
                        get = container(deployment)[probe]["httpGet"]
                        port_number(deployment, get["port"])
                        status, _, body = ask(f"http://{address}{get['path']}")
                        self.assertEqual(status, 200, (overlay.name, name, probe, body))

    def test_it_starts_while_the_databases_are_away(self) -> None:
        for overlay in OVERLAYS:
            deployment = overlay.one("Deployment", "backend-api")
            with running(overlay, deployment, nowhere=True) as address:
                get = container(deployment)["livenessProbe"]["httpGet"]
                self.assertEqual(ask(f"http://{address}{get['path']}")[0], 200, overlay.name)
                # It has taken the servers' settings, and not the file of SQLite.
                get = container(deployment)["readinessProbe"]["httpGet"]
                self.assertEqual(ask(f"http://{address}{get['path']}")[0], 503, overlay.name)

    def test_its_metrics_are_where_the_monitor_asks(self) -> None:
        (overlay,) = (one for one in OVERLAYS if one.name == "monitored")
        (endpoint,) = overlay.one("PodMonitor", "backend")["spec"]["podMetricsEndpoints"]
        with running(overlay, overlay.one("Deployment", "backend-api")) as address:
            status, _, body = ask(f"http://{address}{endpoint['path']}")
            self.assertEqual(status, 200)
            self.assertIn("fastnext_ready", body)


class Together(unittest.TestCase):
    """lb with the configuration of the pods, but other addresses, before a backend and a
    frontend."""

    def test_what_is_asked_at_lb_comes_to_the_right_pods_and_metrics_stay_inside(self) -> None:
        overlay = OVERLAYS[0]
        api, web = (overlay.one("Deployment", name) for name in ("backend-api", "frontend"))
        with running(overlay, api) as backend, running(overlay, web) as frontend, balancer(
            overlay, {"backend-api": backend, "frontend": frontend}
        ) as (http, https, status):
            for path in ("/healthz", "/readyz", "/metrics"):
                self.assertEqual(ask(f"http://{status}{path}")[0], 200, path)
            served = {
                "/health": (200, "backend-api"),
                "/api/v1/users": (200, "backend-api"),
                "/api/v1/auth/session": (401, "backend-api"),
                "/api/v1/openapi.json": (200, "backend-api"),
                "/api/v1/scaling/health/readiness": (200, "backend-api"),
                "/api/v1/scaling/replication/status": (401, "backend-api"),
                "/": (200, "frontend"),
            }
            files = [path.relative_to(ROOT / "backend/web") for path in (ROOT / "backend/web").rglob("*.*")]
            self.assertIn(Path("app.js"), files)
            served |= {f"/{file}": (200, "frontend") for file in files if file.name != "index.html"}
            for path, (code, name) in served.items():
                answer, headers, _ = ask(f"https://{https}{path}")
                self.assertEqual(answer, code, path)
                self.assertTrue(headers["X-Served-By"].startswith(name + "-"), (path, headers["X-Served-By"]))
            answer, _, body = ask(f"https://{https}/api/v1/scaling/metrics/prometheus")
            self.assertEqual(answer, 404)
            self.assertIn("cause: no_route", body)
            answer, headers, _ = ask(f"http://{http}/a?b=c")
            self.assertEqual((answer, headers["Location"]), (301, "https://127.0.0.1/a?b=c"))

    def test_without_an_api_server_lb_is_not_ready_and_says_why(self) -> None:
        overlay = OVERLAYS[0]
        with balancer(overlay, {}, ready=503) as (_, _, status):
            self.assertEqual(ask(f"http://{status}/healthz")[0], 200)
            missing = {"fastnext/backend-api", "fastnext/frontend"}
            deadline = time.monotonic() + 10
            while missing and time.monotonic() < deadline:
                code, _, body = ask(f"http://{status}/readyz")
                self.assertEqual(code, 503, body)
                missing = {name for name in missing if not any(name in one for one in json.loads(body)["problems"])}
            self.assertEqual(missing, set(), body)


def bind_port(address: str) -> int:
    return int(address.rpartition(":")[2])


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other."""

    def redirect_request(self, *_: object) -> None:
        return None


def ask(url: str) -> tuple[int, Message, str]:
    """Status, headers and body, whatever the status is."""
    context = ssl.create_default_context(cafile=str(ROOT / "certs/dev/ca.pem"))
    opener = urllib.request.build_opener(
        NoRedirects, urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=10) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


@contextlib.contextmanager
def running(overlay: Overlay, deployment: dict, nowhere: bool = False) -> Iterator[str]:
    """A backend with the arguments and settings of a pod, but at a port of the system's
    choice. Instead of servers that are not here it has the file of SQLite; or, `nowhere`,
    addresses where nobody is. Gives its own address."""
    args = list(container(deployment)["args"])
    listen = args.index("--listen") + 1
    if bind_port(args[listen]) not in ports(deployment).values():
        raise ValueError(f"{name_of(deployment)} listens on {args[listen]}, which is none of its ports")
    args[listen] = "127.0.0.1:0"
    with tempfile.TemporaryDirectory() as directory:
        settings = {"BACKEND_DATABASE": directory + "/backend.db"}
        unused = itertools.count(1)
        for name, value in overlay.environment(deployment).items():
            if name in ("POSTGRES_SERVER", "POSTGRES_READ_REPLICAS", "REDIS_NODES"):
                if nowhere:
                    settings[name] = ",".join(f"127.0.0.1:{next(unused)}" for _ in value.split(","))
                continue
            if name.endswith("_FILE"):
                path = Path(directory) / Path(value).name
                path.write_text("a secret of the tests, long enough\n", encoding="utf-8")
                value = str(path)
            settings[name] = value
        settings["BACKEND_SHUTDOWN_DELAY"] = "0s"
        with process([os.environ["BACKEND_BIN"], *args], settings) as (started, log):
            # It ends, if the process does.
            line = started.stdout.readline()
            if not line.startswith("listening on "):
                raise AssertionError(f"{name_of(deployment)} of {overlay.name} did not start: {log()}")
            yield line.removeprefix("listening on ").strip()


@contextlib.contextmanager
def balancer(overlay: Overlay, services: dict[str, str], ready: int = 200) -> Iterator[list[str]]:
    """lb, when it says that it is `ready`, with addresses in place of Services and free ports
    on loopback. There is no API server. Gives the addresses of http, https and status."""
    text = overlay.config("lb-config")["lb.yaml"]
    for service, address in services.items():
        asks = r"endpoints_from: \{ kubernetes: \{.* service: " + service + r", .*"
        text, count = re.subn(asks, f'endpoints: [{{ address: "{address}" }}]', text)
        if count != 1:
            raise ValueError(f"{service} is not once in lb.yaml")
    numbers = subprocess.run(
        [sys.executable, ROOT / "loadtests/free_ports.py", "3"], capture_output=True, text=True, check=True
    ).stdout.split()
    addresses = [f"127.0.0.1:{number}" for number in numbers]
    for old, new in zip(("0.0.0.0:8080", "0.0.0.0:8443", "0.0.0.0:9900"), addresses, strict=True):
        if text.count(old) != 1:
            raise ValueError(f"{old} is not once in lb.yaml")
        text = text.replace(old, new)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "lb.yaml"
        path.write_text(text, encoding="utf-8")
        # Where no kubeconfig is.
        environment = {"HOME": directory, "TLS_DIRECTORY": os.environ["TLS_DIRECTORY"]}
        command = [os.environ["LB_BIN"], "run", "--config", str(path)]
        with process(command, environment, signal.SIGINT) as (started, log):
            deadline = time.monotonic() + 30
            while True:
                with contextlib.suppress(OSError):
                    if ask(f"http://{addresses[2]}/readyz")[0] == ready:
                        break
                if started.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"lb did not get ready: {log()}")
                time.sleep(0.05)
            yield addresses


@contextlib.contextmanager
def process(
    command: list[str], environment: Mapping[str, str], stop: signal.Signals = signal.SIGTERM
) -> Iterator[tuple[subprocess.Popen, Callable[[], str]]]:
    """A process that is stopped afterwards, and what it has logged so far."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:

        def logged() -> str:
            log.seek(0)
            return log.read()

        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as started:
            try:
                yield started, logged
            finally:
                started.send_signal(stop)
                try:
                    started.wait(10)
                except subprocess.TimeoutExpired:
                    started.kill()


if __name__ == "__main__":
    unittest.main()
