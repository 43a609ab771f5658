"""What kustomize has made of k8s/, for the tests that look into it.

scripts/test-k8s-manifests.sh runs them, and says in the environment where the built
manifests are (MANIFESTS).
"""

import os
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
NAMESPACE = "fastnext"

# What the downward API gives to a pod of a made-up name, where nodes have no zones.
FIELDS = {
    "metadata.name": "{deployment}-7d4b9c6f5-x2x7q",
    "metadata.namespace": NAMESPACE,
    "metadata.labels['topology.kubernetes.io/zone']": "",
}


class Overlay:
    """The objects of one overlay."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.objects: list[dict] = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))

    def all(self, kind: str) -> list[dict]:
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, name: str) -> dict:
        (found,) = (one for one in self.all(kind) if one["metadata"]["name"] == name)
        return found

    def deployments(self) -> list[dict]:
        return self.all("Deployment")

    def selected(self, labels: dict[str, str]) -> list[dict]:
        """The Deployments whose pods have all of these labels."""
        if not labels:
            raise ValueError("an empty selector selects everything")
        return [one for one in self.deployments() if labels.items() <= pod_labels(one).items()]

    def config(self, name: str) -> dict:
        """What is in a ConfigMap, whose name may end in a hash."""
        (found,) = (
            one for one in self.all("ConfigMap") if re.fullmatch(name + r"(-[0-9a-z]{10})?", one["metadata"]["name"])
        )
        return found["data"]

    def lb(self) -> dict:
        """The configuration of lb."""
        return yaml.safe_load(self.config("lb-config")["lb.yaml"])

    def lb_by_dns(self) -> str:
        """The same with the lines for DNS in place of those for the API server."""
        lines = self.config("lb-config")["lb.yaml"].splitlines(keepends=True)
        kept = [line for line in lines if "endpoints_from: { kubernetes:" not in line]
        return "".join(kept).replace("# endpoints_from: { dns:", "endpoints_from: { dns:")

    def environment(self, deployment: dict) -> dict[str, str]:
        """What its container gets."""
        values: dict[str, str] = {}
        for source in container(deployment).get("envFrom", []):
            values |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in container(deployment).get("env", []):
            if "valueFrom" in variable:
                field = FIELDS[variable["valueFrom"]["fieldRef"]["fieldPath"]]
                values[variable["name"]] = field.format(deployment=name_of(deployment))
            else:
                values[variable["name"]] = variable["value"]
        return values


OVERLAYS = [Overlay(path) for path in sorted(Path(os.environ["MANIFESTS"]).iterdir())]


def name_of(one: dict) -> str:
    return one["metadata"]["name"]


def pod(deployment: dict) -> dict:
    return deployment["spec"]["template"]["spec"]


def pod_labels(deployment: dict) -> dict[str, str]:
    return deployment["spec"]["template"]["metadata"]["labels"]


def container(deployment: dict) -> dict:
    (found,) = pod(deployment)["containers"]
    return found


def ports(deployment: dict) -> dict[str, int]:
    """The ports of its container by their names."""
    return {port["name"]: port["containerPort"] for port in container(deployment)["ports"]}


def port_number(deployment: dict, port: str | int) -> int:
    """The number of a port that is given by name or number, and that its container has."""
    known = ports(deployment)
    number = known[port] if isinstance(port, str) else port
    if number not in known.values():
        raise KeyError(f"{name_of(deployment)} has no port {port}")
    return number


def expanded(text: str, environment: dict[str, str]) -> str:
    """A text of lb.yaml with the variables that it names, all of which have a default."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: environment.get(found[1]) or found[2], text)


def endpoint_pods(overlay: Overlay, upstream: dict) -> dict:
    """The Deployment whose pods are the endpoints of an upstream of lb."""
    service = overlay.one("Service", upstream["endpoints_from"]["kubernetes"]["service"])
    (found,) = overlay.selected(service["spec"]["selector"])
    return found


def seconds(text: str) -> int:
    if not re.fullmatch(r"\d+s", text):
        raise ValueError(text)
    return int(text.removesuffix("s"))


def mebibytes(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", text).groups()
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


def millicores(text: str) -> int:
    return int(text.removesuffix("m")) if text.endswith("m") else 1000 * int(text)


def peer_name(peer: dict) -> str:
    """Who a peer of a NetworkPolicy is."""
    if "podSelector" in peer:
        return peer["podSelector"]["matchLabels"]["app"]
    if "ipBlock" in peer:
        return "dns" if peer["ipBlock"]["cidr"] == "169.254.20.10/32" else peer["ipBlock"]["cidr"]
    name = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    return "dns" if name == "kube-system" else name


def rules(overlay: Overlay, deployment: dict, direction: str) -> list[dict]:
    """The rules of all policies that hold for the pods of a Deployment."""
    return [
        rule
        for policy in overlay.all("NetworkPolicy")
        if policy["spec"]["podSelector"].get("matchLabels", {}).items() <= pod_labels(deployment).items()
        for rule in policy["spec"].get(direction, [])
    ]


def sources(overlay: Overlay, deployment: dict, number: int) -> set[str]:
    """Who may connect to a port of its pods."""
    return {
        name
        for rule in rules(overlay, deployment, "ingress")
        if number in {port_number(deployment, port["port"]) for port in rule["ports"]}
        for name in ([peer_name(peer) for peer in rule["from"]] if "from" in rule else ["everybody"])
    }


def targets(overlay: Overlay, deployment: dict) -> set[tuple[str, int]]:
    """What its pods may connect to."""
    return {
        (name, port["port"])
        for rule in rules(overlay, deployment, "egress")
        for port in rule["ports"]
        for name in ([peer_name(peer) for peer in rule["to"]] if "to" in rule else ["everybody"])
    }
