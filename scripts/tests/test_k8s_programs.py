"""Whether lb and backend take what the manifests of k8s/ give them.

scripts/test-k8s-manifests.sh says in the environment where the programs are (LB_BIN,
BACKEND_BIN), and a directory with a tls.crt and a tls.key (TLS_DIRECTORY).
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.request
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from k8s import OVERLAYS, Overlay, container, name_of, port_number, ports  # noqa: E402

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


class Lb(unittest.TestCase):
    def check(self, configuration: str) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "lb.yaml"
            path.write_text(configuration, encoding="utf-8")
            done = subprocess.run(
                [os.environ["LB_BIN"], "check", "--config", path], capture_output=True, text=True, timeout=60
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertNotIn("warning:", done.stdout + done.stderr)

    def test_its_configuration_is_sound(self) -> None:
        for overlay in OVERLAYS:
            self.check(overlay.config("lb-config")["lb.yaml"])

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
                        with urllib.request.urlopen(f"http://{address}{get['path']}", timeout=10) as response:
                            self.assertEqual(response.status, 200, (overlay.name, name, probe))

    def test_its_metrics_are_where_the_monitor_asks(self) -> None:
        (overlay,) = (one for one in OVERLAYS if one.name == "monitored")
        (endpoint,) = overlay.one("PodMonitor", "backend")["spec"]["podMetricsEndpoints"]
        with running(overlay, overlay.one("Deployment", "backend-api")) as address:
            with urllib.request.urlopen(f"http://{address}{endpoint['path']}", timeout=10) as response:
                self.assertIn(b"fastnext_ready", response.read())


def bind_port(address: str) -> int:
    return int(address.rpartition(":")[2])


@contextlib.contextmanager
def running(overlay: Overlay, deployment: dict) -> Iterator[str]:
    """A backend with the arguments and settings of a pod, but at a port of the system's
    choice, and with the file of SQLite instead of servers that are not here. Gives its
    address."""
    args = list(container(deployment)["args"])
    listen = args.index("--listen") + 1
    if bind_port(args[listen]) not in ports(deployment).values():
        raise ValueError(f"{name_of(deployment)} listens on {args[listen]}, which is none of its ports")
    args[listen] = "127.0.0.1:0"
    with tempfile.TemporaryDirectory() as directory:
        settings = {"BACKEND_DATABASE": directory + "/backend.db"}
        for name, value in overlay.environment(deployment).items():
            if name in ("POSTGRES_SERVER", "POSTGRES_READ_REPLICAS", "REDIS_NODES"):
                continue
            if name.endswith("_FILE"):
                path = Path(directory) / Path(value).name
                path.write_text("a secret of the tests, long enough\n", encoding="utf-8")
                value = str(path)
            settings[name] = value
        settings["BACKEND_SHUTDOWN_DELAY"] = "0s"
        with open(directory + "/log", "w+", encoding="utf-8") as log, subprocess.Popen(
            [os.environ["BACKEND_BIN"], *args], env=settings, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process:
            try:
                # It ends, if the process does.
                line = process.stdout.readline()
                address = line.removeprefix("listening on ").strip()
                if address == line.strip():
                    log.seek(0)
                    raise AssertionError(f"{name_of(deployment)} of {overlay.name} did not start: {log.read()}")
                yield address
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


if __name__ == "__main__":
    unittest.main()
