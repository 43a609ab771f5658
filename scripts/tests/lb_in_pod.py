"""lb as it runs in its pod, in the cluster of scripts/k8s-cluster.sh: with the configuration, the
variables and the account that the manifests give it.

The environment says where the program is (LB_BIN).
"""

import contextlib
import os
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml

from cluster import ZONES, kubectl
from k8s import NAMESPACE, ROOT, Overlay

# Where programs look for it, without being told.
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

START_SECONDS = 60


class Lb:
    """What an lb that runs says on its status port."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str) -> tuple[int, str]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self.address}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The one series that has these labels, maybe among others."""
        found = [
            float(value)
            for series, value in re.findall(rf"^{name}\{{(.*)\}} (\S+)$", self.get("/metrics")[1], re.MULTILINE)
            if labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', series)).items()
        ]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} series of {name} have {labels}")
        return found[0]


@contextlib.contextmanager
def lb_in_pod(overlay: Overlay, account: str) -> Iterator[Lb]:
    """lb, when it is ready, until it is no longer needed."""
    put_account(account)
    with tempfile.TemporaryDirectory() as directory, open(directory + "/log", "w+", encoding="utf-8") as log:
        configuration = Path(directory) / "lb.yaml"
        configuration.write_text(overlay.config("lb-config")["lb.yaml"], encoding="utf-8")
        put_certificate(Path(directory))
        environment = {
            **os.environ,
            **overlay.environment(overlay.one("Deployment", "lb")),
            "ZONE": ZONES[0],
            "TLS_DIRECTORY": directory,
            **api_server(),
        }
        command = [os.environ["LB_BIN"], "run", "--config", str(configuration)]
        with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as started:
            lb = Lb("127.0.0.1:9900")
            try:
                wait_until_ready(lb, started)
                yield lb
            except BaseException as error:
                log.seek(0)
                error.add_note(f"the log of lb:\n{log.read()}")
                raise
            finally:
                started.kill()


def put_account(account: str) -> None:
    """What the kubelet puts into a pod."""
    ACCOUNT.mkdir(parents=True, exist_ok=True)
    token = kubectl("create", "token", account, "--namespace", NAMESPACE).strip()
    certificate = Path(cluster_of_kubeconfig()["certificate-authority"]).read_text(encoding="utf-8")
    for name, content in {"token": token, "namespace": NAMESPACE, "ca.crt": certificate}.items():
        (ACCOUNT / name).write_text(content, encoding="utf-8")


def put_certificate(directory: Path) -> None:
    """What the Secret lb-tls has."""
    subprocess.run([ROOT / "certs/make-dev.sh", directory / "certs"], check=True, stdout=subprocess.DEVNULL)
    for name, source in {"tls.crt": "api.pem", "tls.key": "api.key"}.items():
        (directory / name).symlink_to(directory / "certs" / source)


def api_server() -> dict[str, str]:
    """The variables that say in each pod where it is."""
    host, _, port = cluster_of_kubeconfig()["server"].removeprefix("https://").rpartition(":")
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


def cluster_of_kubeconfig() -> dict[str, str]:
    text = Path(os.environ["K8S_TEST_KUBECONFIG"]).read_text(encoding="utf-8")
    return yaml.safe_load(text)["clusters"][0]["cluster"]


def wait_until_ready(lb: Lb, started: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError):
            if lb.get("/readyz")[0] == 200:
                return
        if started.poll() is not None or time.monotonic() > deadline:
            raise AssertionError("lb did not get ready")
        time.sleep(0.05)
