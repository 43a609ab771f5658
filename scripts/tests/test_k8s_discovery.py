"""Whether lb can find the pods of each overlay of k8s/: by the API server, and by DNS."""

import sys
import unittest
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))

from k8s import (  # noqa: E402
    FIELDS, NAMESPACE, OVERLAYS, Overlay, container, endpoint_pods, expanded, name_of, pod, pod_labels, port_number,
    seconds, targets,
)

BY_API = [one for one in OVERLAYS if one.name != "by-dns"]
BY_DNS = [one for one in OVERLAYS if one.name == "by-dns"]
RIGHTS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def upstreams(overlay: Overlay, by_hand: bool = False) -> list[dict]:
    """What lb.yaml asks the API server for, as lb reads it in its pod; or `by_hand`."""
    environment = {} if by_hand else overlay.environment(overlay.one("Deployment", "lb"))
    text = expanded(overlay.config("lb-config")["lb.yaml"], environment)
    return list(yaml.safe_load(text)["upstreams"].values())


class Rights(unittest.TestCase):
    def test_there_are_some_overlays_of_each_kind(self) -> None:
        self.assertEqual((len(BY_API), len(BY_DNS)), (3, 1))

    def test_they_are_what_lb_needs_and_nothing_else(self) -> None:
        for overlay in BY_API:
            role = overlay.one("Role", "lb")
            needed = [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]
            self.assertEqual(role["rules"], needed, overlay.name)
            binding = overlay.one("RoleBinding", "lb")
            self.assertEqual(binding["roleRef"], {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lb"})
            self.assertEqual(binding["subjects"], [{"kind": "ServiceAccount", "name": "lb", "namespace": NAMESPACE}])
            account = overlay.one("ServiceAccount", "lb")
            self.assertIs(account["automountServiceAccountToken"], False)
            kinds = sorted(one["kind"] for one in overlay.objects if one["kind"] in RIGHTS)
            self.assertEqual(kinds, ["Role", "RoleBinding", "ServiceAccount"], overlay.name)

    def test_they_hold_in_the_namespace_that_lb_asks_about(self) -> None:
        for overlay in BY_API:
            for upstream in upstreams(overlay) + upstreams(overlay, by_hand=True):
                asked = upstream["endpoints_from"]["kubernetes"]
                self.assertEqual(asked["namespace"], overlay.one("Role", "lb")["metadata"]["namespace"])
                service = overlay.one("Service", asked["service"])
                self.assertEqual(asked["namespace"], service["metadata"]["namespace"])

    def test_only_the_pods_of_lb_have_a_token(self) -> None:
        for overlay in OVERLAYS:
            for one in overlay.deployments():
                by_api = name_of(one) == "lb" and overlay in BY_API
                self.assertIs(pod(one)["automountServiceAccountToken"], by_api, (overlay.name, name_of(one)))
                self.assertEqual(pod(one).get("serviceAccountName"), "lb" if by_api else None, overlay.name)

    def test_an_lb_that_goes_by_dns_needs_none(self) -> None:
        for overlay in BY_DNS:
            self.assertEqual([one["kind"] for one in overlay.objects if one["kind"] in RIGHTS], [])


class Names(unittest.TestCase):
    def test_ports_are_those_of_services_and_of_pods(self) -> None:
        for overlay in BY_API:
            for upstream in upstreams(overlay):
                asked = upstream["endpoints_from"]["kubernetes"]
                service = overlay.one("Service", asked["service"])
                (port,) = (one for one in service["spec"]["ports"] if one["name"] == asked["port"])
                number = port_number(endpoint_pods(overlay, upstream), port["targetPort"])
                # Who goes by DNS connects to pods, and nobody translates ports.
                self.assertEqual(port["port"], number)

    def test_lb_is_let_to_the_pods_that_it_is_told_of(self) -> None:
        for overlay in OVERLAYS:
            reached = targets(overlay, overlay.one("Deployment", "lb"))
            for upstream in upstreams(overlay):
                deployment = endpoint_pods(overlay, upstream)
                port = upstream["endpoints_from"]["kubernetes"]["port"]
                self.assertIn((pod_labels(deployment)["app"], port_number(deployment, port)), reached, overlay.name)

    def test_the_lines_for_dns_name_the_same_pods(self) -> None:
        for overlay in OVERLAYS:
            by_dns = list(yaml.safe_load(overlay.lb_by_dns())["upstreams"].values())
            self.assertEqual(len(by_dns), 2)
            for upstream, other in zip(upstreams(overlay), by_dns, strict=True):
                asked, named = upstream["endpoints_from"]["kubernetes"], other["endpoints_from"]
                service = overlay.one("Service", named["dns"])
                self.assertEqual(name_of(service), asked["service"])
                self.assertEqual(service["spec"]["clusterIP"], "None", "it resolves to one address, and not to its pods")
                self.assertEqual(named["port"], port_number(endpoint_pods(overlay, upstream), asked["port"]))

    def test_kubernetes_calls_nothing_ready_that_is_not(self) -> None:
        for overlay in OVERLAYS:
            for service in overlay.all("Service"):
                self.assertNotIn("publishNotReadyAddresses", service["spec"])


class Zones(unittest.TestCase):
    def test_lb_has_its_namespace_and_its_zone_of_its_pod(self) -> None:
        for overlay in OVERLAYS:
            given = {
                variable["name"]: variable["valueFrom"]["fieldRef"]["fieldPath"]
                for variable in container(overlay.one("Deployment", "lb"))["env"]
            }
            zone = "metadata.labels['topology.kubernetes.io/zone']"
            self.assertEqual(given, {"NAMESPACE": "metadata.namespace", "ZONE": zone})
            self.assertLessEqual(set(given.values()), FIELDS.keys())
            self.assertEqual(overlay.lb()["kubernetes"]["zone"], "${ZONE:-}")

    def test_services_are_hinted_where_there_are_zones_and_pods_are_spread_over_them(self) -> None:
        for overlay in OVERLAYS:
            for upstream in upstreams(overlay):
                service = overlay.one("Service", upstream["endpoints_from"]["kubernetes"]["service"])
                hinted = None if overlay.name == "single-node" else "PreferClose"
                self.assertEqual(service["spec"].get("trafficDistribution"), hinted, overlay.name)
                keys = [one["topologyKey"] for one in pod(endpoint_pods(overlay, upstream))["topologySpreadConstraints"]]
                self.assertIn("topology.kubernetes.io/zone", keys)


class Times(unittest.TestCase):
    def test_a_pod_of_lb_does_not_become_ready_without_the_list(self) -> None:
        for overlay in BY_API:
            probe = container(overlay.one("Deployment", "lb"))["startupProbe"]
            lives = probe["periodSeconds"] * probe["failureThreshold"]
            # When it is over, lb is ready with what it has.
            self.assertGreater(seconds(overlay.lb()["kubernetes"]["timeout"]), lives)
            # And there is time for some tries and for the first checks.
            checks = max(seconds(one["health_check"]["timeout"]) for one in upstreams(overlay))
            self.assertGreaterEqual(lives, 20 + checks)

    def test_what_is_open_at_a_pod_that_leaves_is_ended_by_the_pod_and_not_by_lb(self) -> None:
        for overlay in OVERLAYS:
            for upstream in upstreams(overlay):
                settings = overlay.environment(endpoint_pods(overlay, upstream))
                stop = [seconds(settings[f"BACKEND_{name}"]) for name in ("SHUTDOWN_DELAY", "DRAIN_TIMEOUT")]
                self.assertGreater(seconds(overlay.lb()["shutdown"]["drain_timeout"]), sum(stop))


if __name__ == "__main__":
    unittest.main()
