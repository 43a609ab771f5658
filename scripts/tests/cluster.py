"""The cluster of scripts/k8s-cluster.sh, asked with kubectl; and what it lacks of a kubelet.

The environment says who asks (K8S_TEST_KUBECONFIG); kubectl is on the PATH.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable

from k8s import NAMESPACE, name_of

# For what the controllers do, on a busy machine.
PATIENCE_SECONDS = 120

# What kubectl may warn of, each with a reason.
WARNINGS = {
    # The new name is that of Kubernetes 1.34; the old one does the same, everywhere.
    'Warning: spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
}

ZONES = ("zone-1", "zone-2")
ZONE = "topology.kubernetes.io/zone"


def ask(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """What kubectl says, whatever it is."""
    # It would read the user's own settings, and write its cache, in the home directory.
    with tempfile.TemporaryDirectory() as home:
        return subprocess.run(
            ["kubectl", "--kubeconfig", os.environ["K8S_TEST_KUBECONFIG"], *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_SECONDS,
            env={**os.environ, "HOME": home},
        )


def kubectl(*arguments: str, given: str | None = None) -> str:
    """What kubectl prints when it does what it is told, and has nothing to warn of."""
    done = ask(*arguments, given=given)
    if done.returncode != 0 or not WARNINGS.issuperset(done.stderr.splitlines()):
        raise AssertionError(f"kubectl {' '.join(arguments)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def apply(objects: Iterable[dict], *options: str) -> str:
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    return kubectl("apply", "--server-side", "--filename", "-", *options, given=given)


def listed(kind: str, *options: str) -> list[dict]:
    """The objects of the namespace."""
    return json.loads(kubectl("get", kind, "--namespace", NAMESPACE, "--output", "json", *options))["items"]


def pods() -> list[dict]:
    return listed("pods")


def has_labels(one: dict, labels: dict[str, str]) -> bool:
    return labels.items() <= one["metadata"].get("labels", {}).items()


def eventually(what: str, expected: object, look: Callable[[], object], explain: Callable[[], str] = str) -> None:
    """Waits until a look finds what is expected."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := look()) != expected:
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: {found} instead of {expected}\n{explain()}")
        time.sleep(0.2)


def run_pods() -> None:
    """What scheduler and kubelet do: each pod gets a node and an address, and is ready. There
    is a node in each zone."""
    nodes = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-of-{zone}", "labels": {ZONE: zone}}}
        for zone in ZONES
    ]
    apply(nodes)
    for number, pod in enumerate(pods()):
        name = name_of(pod)
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": name_of(nodes[number % len(nodes)])},
        }
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/binding"
        kubectl("create", "--raw", path, "--filename", "-", given=json.dumps(binding))
        address = f"10.244.1.{number + 1}"
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        kubectl(
            "patch", "pod", name, "--namespace", NAMESPACE, "--subresource", "status", "--type", "merge",
            "--patch", json.dumps({"status": status}),
        )


def remove_namespace() -> None:
    """And all that is in it."""
    # An autoscaler leaves a Deployment alone that is to have no pods.
    for one in listed("deployments"):
        kubectl("scale", "deployment", name_of(one), "--namespace", NAMESPACE, "--replicas", "0")
    eventually("pods that are left", [], end_pods)
    kubectl("delete", "namespace", NAMESPACE)


def end_pods() -> list[str]:
    """Ends all that there are, and says which are there still, or again."""
    # What is on a node goes when its kubelet says so; "force" means without it, and warns.
    ask("delete", "pods", "--all", "--namespace", NAMESPACE, "--force", "--grace-period", "0")
    return [name_of(one) for one in pods()]
