"""Whether a real API server takes the manifests of k8s/, and its controllers make of them
what they are for.

scripts/test-k8s.sh runs this in a cluster without nodes (scripts/k8s-cluster.sh), and says in
the environment where the built manifests are (MANIFESTS), and lb (LB_BIN).
"""

import json
import re
import sys
import unittest
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cluster import (  # noqa: E402
    ZONE, ZONES, apply, ask, eventually, has_labels, kubectl, listed, pods, remove_namespace, run_pods,
)
from k8s import NAMESPACE, OVERLAYS, expanded, name_of, pod, pod_labels, port_number  # noqa: E402
from lb_in_pod import Lb, lb_in_pod  # noqa: E402

# Enough of the Prometheus Operator's for its objects to be taken; what is in them is checked
# by nobody here.
POD_MONITORS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "podmonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "names": {"kind": "PodMonitor", "plural": "podmonitors"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def setUpModule() -> None:
    apply([POD_MONITORS])
    kubectl("wait", "--for", "condition=Established", "crd", name_of(POD_MONITORS))


class Accepted:
    """An overlay as it is deployed: its namespace, a try, then all of it."""

    name: str

    @classmethod
    def setUpClass(cls) -> None:
        (cls.overlay,) = (one for one in OVERLAYS if one.name == cls.name)
        cls.addClassCleanup(remove_namespace)
        namespace, *_ = cls.overlay.objects
        apply([namespace])
        apply(cls.overlay.objects, "--dry-run=server")
        if listed("deployments"):
            raise AssertionError("a dry run has made something")
        apply(cls.overlay.objects)
        # As soon as an autoscaler has found its Deployment, there are as many as it wants.
        scaled = {
            one["spec"]["scaleTargetRef"]["name"]: one["spec"]["minReplicas"]
            for one in cls.overlay.all("HorizontalPodAutoscaler")
        }
        cls.replicas = {
            name_of(one): one["spec"].get("replicas") or scaled[name_of(one)] for one in cls.overlay.deployments()
        }
        eventually("pods of Deployments", cls.replicas, cls.pods_of_deployments, why_there_are_no_more)
        run_pods()
        eventually("ready pods", cls.replicas, cls.ready_of_deployments)

    @classmethod
    def pods_of_deployments(cls) -> dict[str, int]:
        found = pods()
        return {
            name_of(one): sum(has_labels(pod, pod_labels(one)) for pod in found) for one in cls.overlay.deployments()
        }

    @classmethod
    def ready_of_deployments(cls) -> dict[str, int]:
        return {name_of(one): one["status"].get("readyReplicas", 0) for one in listed("deployments")}

    def test_what_is_applied_again_stays_as_it_is(self) -> None:
        before = self.generations()
        self.assertGreaterEqual(len(before), len(self.overlay.objects))
        apply(self.overlay.objects)
        self.assertEqual(self.generations(), before)
        # Not least the number of pods, which is the autoscaler's.
        self.assertEqual({name_of(one): one["spec"]["replicas"] for one in listed("deployments")}, self.replicas)

    def generations(self) -> dict[tuple[str, str], int | None]:
        """What is counted when a specification changes."""
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": self.overlay.objects})
        found = json.loads(kubectl("get", "--filename", "-", "--output", "json", given=given))["items"]
        return {(one["kind"], name_of(one)): one["metadata"].get("generation") for one in found}

    def test_services_have_the_pods_that_they_are_for(self) -> None:
        for service in self.overlay.all("Service"):
            (deployment,) = self.overlay.selected(service["spec"]["selector"])
            addresses = {one["status"]["podIP"] for one in pods() if has_labels(one, pod_labels(deployment))}
            self.assertEqual(len(addresses), self.replicas[name_of(deployment)])
            ports = {one["name"]: port_number(deployment, one["targetPort"]) for one in service["spec"]["ports"]}
            name = name_of(service)
            eventually(f"addresses and ports of the Service {name}", (addresses, ports), lambda: endpoints(name))

    def test_pods_know_their_zone_and_services_hint_where_they_are_told_to(self) -> None:
        self.assertEqual({one["metadata"]["labels"].get(ZONE) for one in pods()}, set(ZONES))
        for service in self.overlay.all("Service"):
            hinted = "trafficDistribution" in service["spec"]
            expected = {
                one["status"]["podIP"]: [one["metadata"]["labels"][ZONE]] if hinted else []
                for one in pods()
                if has_labels(one, service["spec"]["selector"])
            }
            name = name_of(service)
            eventually(f"hints of the Service {name}", expected, lambda: hints(name))

    def test_budgets_count_the_pods_that_they_are_for(self) -> None:
        expected = {
            name_of(one): self.replicas[name_of(*self.overlay.selected(one["spec"]["selector"]["matchLabels"]))]
            for one in self.overlay.all("PodDisruptionBudget")
        }
        for count in ("expectedPods", "currentHealthy"):
            eventually(count, expected, lambda: {name_of(one): one["status"].get(count) for one in listed("pdb")})

    def test_pods_that_want_more_are_refused(self) -> None:
        for deployment in self.overlay.deployments():
            specification = {**pod(deployment), "hostNetwork": True}
            one = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "more", "namespace": NAMESPACE}}
            done = ask("create", "--filename", "-", given=json.dumps({**one, "spec": specification}))
            self.assertNotEqual(done.returncode, 0)
            self.assertIn('violates PodSecurity "restricted', done.stderr)
            self.assertIn("host namespaces", done.stderr)

    def test_pods_have_no_rights_and_no_token_without_need(self) -> None:
        accounts = {one["spec"]["serviceAccountName"] for one in pods()} - {"lb"}
        self.assertEqual(accounts, {"default"})
        self.assertEqual(granted("default", NAMESPACE), [])
        for one in pods():
            volumes = one["spec"].get("volumes", [])
            sources = [source for volume in volumes for source in volume.get("projected", {}).get("sources", [])]
            has_token = any("serviceAccountToken" in source for source in sources)
            self.assertEqual(has_token, one["spec"]["serviceAccountName"] == "lb", name_of(one))


class Following(Accepted):
    """One whose lb asks the API server."""

    def test_lb_may_follow_endpoints_in_its_namespace_and_nothing_else(self) -> None:
        account = "lb"
        accounts = {one["spec"]["serviceAccountName"] for one in pods() if has_labels(one, {"app": "lb"})}
        self.assertEqual(accounts, {account})
        kind = "endpointslices.discovery.k8s.io"
        rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
        self.assertEqual(granted(account, NAMESPACE), [rule])
        self.assertEqual(granted(account, "default"), [])
        for verb, what, where, answer in (
            ("list", kind, NAMESPACE, "yes"),
            ("watch", kind, NAMESPACE, "yes"),
            ("get", kind, NAMESPACE, "no"),
            ("list", kind, "default", "no"),
            ("list", "pods", NAMESPACE, "no"),
            ("get", "secrets", NAMESPACE, "no"),
        ):
            done = ask("auth", "can-i", verb, what, "--namespace", where, "--as", user(account))
            self.assertEqual(done.stdout.strip(), answer, (verb, what, where, done.stderr))
        # With a token like that of its pods.
        token = kubectl("create", "token", account, "--namespace", NAMESPACE).strip()
        as_lb = ("--token", token, "--namespace", NAMESPACE, "--output", "name")
        self.assertNotEqual(kubectl("get", kind, *as_lb), "")
        refused = ask("get", "secrets", *as_lb)
        self.assertIn(f'User "{user(account)}" cannot list resource "secrets"', refused.stderr)

    def test_lb_finds_the_pods_of_each_service(self) -> None:
        with lb_in_pod(self.overlay, "lb") as running:
            self.assertEqual(problems(running), set())
            for labels in self.labels():
                self.assertEqual(running.metric("lb_kubernetes_watch_up", **labels), 1)
                service = self.overlay.one("Service", labels["service"])
                (deployment,) = self.overlay.selected(service["spec"]["selector"])
                count = running.metric("lb_kubernetes_endpoints", state="ready", **labels)
                self.assertEqual(count, self.replicas[name_of(deployment)])

    def labels(self) -> list[dict[str, str]]:
        """Those of the series about each Service that lb asks for."""
        environment = self.overlay.environment(self.overlay.one("Deployment", "lb"))
        configuration = yaml.safe_load(expanded(self.overlay.config("lb-config")["lb.yaml"], environment))
        found = []
        for upstream, one in configuration["upstreams"].items():
            asked = one["endpoints_from"]["kubernetes"]
            found.append({"upstream": upstream, "namespace": asked["namespace"], "service": asked["service"]})
        return found

    def test_lb_says_which_right_it_lacks_until_it_has_it(self) -> None:
        role = self.overlay.one("Role", "lb")
        for lacks, has in (("list", "watch"), ("watch", "list")):
            self.addCleanup(apply, [role])
            apply([{**role, "rules": [{**role["rules"][0], "verbs": [has]}]}])
            with lb_in_pod(self.overlay, "lb") as running:
                expected = {(f"{NAMESPACE}/{one['service']}", lacks) for one in self.labels()}
                eventually("problems that /readyz has", expected, lambda: problems(running))
                for labels in self.labels():
                    self.assertEqual(running.metric("lb_kubernetes_problem", problem="forbidden", **labels), 1)
                apply([role])
                eventually("problems that /readyz has", set(), lambda: problems(running))
                for labels in self.labels():
                    eventually("watch_up", 1, lambda labels=labels: running.metric("lb_kubernetes_watch_up", **labels))


class SingleNode(Following, unittest.TestCase):
    name = "single-node"


class Production(Following, unittest.TestCase):
    name = "production"


class Monitored(Following, unittest.TestCase):
    name = "monitored"


class ByDns(Accepted, unittest.TestCase):
    name = "by-dns"


class Overlays(unittest.TestCase):
    def test_each_is_tried(self) -> None:
        tried = {one.name for one in (SingleNode, Production, Monitored, ByDns)}
        self.assertEqual({one.name for one in OVERLAYS}, tried)


def why_there_are_no_more() -> str:
    """What ReplicaSets say of pods that they may not make."""
    conditions = [one for replicas in listed("replicasets") for one in replicas["status"].get("conditions", [])]
    return "\n".join(one["message"] for one in conditions if one["type"] == "ReplicaFailure")


def slices(service: str) -> list[dict]:
    return listed("endpointslices", "--selector", f"kubernetes.io/service-name={service}")


def ready(service: str) -> list[dict]:
    endpoints = [endpoint for one in slices(service) for endpoint in one["endpoints"] or []]
    return [endpoint for endpoint in endpoints if endpoint["conditions"]["ready"]]


def endpoints(service: str) -> tuple[set[str], dict[str, int]]:
    """The ready addresses of a Service, and its ports."""
    addresses = {address for endpoint in ready(service) for address in endpoint["addresses"]}
    return addresses, {port["name"]: port["port"] for one in slices(service) for port in one["ports"] or []}


def hints(service: str) -> dict[str, list[str]]:
    """The zones that its endpoints are meant for."""
    return {
        address: [zone["name"] for zone in endpoint.get("hints", {}).get("forZones", [])]
        for endpoint in ready(service)
        for address in endpoint["addresses"]
    }


def problems(running: Lb) -> set:
    """What /readyz says of Services: which one, and the right that is missing; or all of it."""
    status, body = running.get("/readyz")
    if status != 200:
        raise AssertionError(f"lb is not ready: {body}")
    found = set()
    for text in json.loads(body).get("problems", []):
        words = re.search(rf"\b({NAMESPACE}/[a-z-]+)\b.* (list|watch) endpointslices\b", text)
        found.add(words.groups() if words else text)
    return found


def user(account: str) -> str:
    return f"system:serviceaccount:{NAMESPACE}:{account}"


def granted(account: str, where: str) -> list[dict]:
    """The rules about objects that an account has beside those that every account has."""
    mine, everybody = (rules(one, where) for one in (account, "nobody"))
    return [rule for rule in mine if rule not in everybody]


def rules(account: str, where: str) -> list[dict]:
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": where}}
    options = ("--validate=false", "--filename", "-", "--output", "json", "--as", user(account))
    status = json.loads(kubectl("create", *options, given=json.dumps(review)))["status"]
    if status["incomplete"]:
        raise AssertionError(f"not all rules are known: {status}")
    return [{**rule, "verbs": sorted(rule["verbs"])} for rule in status["resourceRules"]]


if __name__ == "__main__":
    unittest.main()
