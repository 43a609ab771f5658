"""Whether the objects of each overlay of k8s/ fit each other."""

import math
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from k8s import (  # noqa: E402
    NAMESPACE, OVERLAYS, ROOT, Overlay, container, endpoint_pods, mebibytes, millicores, name_of, pod, pod_labels,
    port_number, ports, seconds, sources, targets,
)

# As the guides to deploying say; what PostgreSQL keeps for superusers is not for backends.
SERVER_CONNECTIONS = {"by-dns": 400 - 3, "monitored": 400 - 3, "production": 400 - 3, "single-node": 100 - 3}

# The API server says what changes; generously.
WATCH_SECONDS = 1

# The TTL of cluster DNS, as kubeadm configures it.
DNS_SECONDS = 30


class Case(unittest.TestCase):
    """A test that is made with each overlay."""

    def each(self) -> list[Overlay]:
        self.assertEqual([one.name for one in OVERLAYS], ["by-dns", "monitored", "production", "single-node"])
        return OVERLAYS

    def only(self, overlay: Overlay, selector: dict) -> dict:
        """The one Deployment that is selected."""
        self.assertEqual(selector.keys(), {"matchLabels"}, (overlay.name, selector))
        found = overlay.selected(selector["matchLabels"])
        self.assertEqual(len(found), 1, (overlay.name, selector, [name_of(one) for one in found]))
        return found[0]


class Objects(Case):
    def test_all_are_in_the_namespace_which_comes_first(self) -> None:
        for overlay in self.each():
            first, *rest = overlay.objects
            self.assertEqual((first["kind"], name_of(first)), ("Namespace", NAMESPACE), overlay.name)
            for one in rest:
                self.assertEqual(one["metadata"].get("namespace"), NAMESPACE, (overlay.name, one["kind"], name_of(one)))

    def test_each_is_there_once(self) -> None:
        for overlay in self.each():
            names = [(one["kind"], name_of(one)) for one in overlay.objects]
            self.assertEqual(len(names), len(set(names)), overlay.name)

    def test_the_deployments_are_those_that_the_guide_names(self) -> None:
        for overlay in self.each():
            self.assertEqual({name_of(one) for one in overlay.deployments()}, {"backend-api", "frontend", "lb"})

    def test_config_maps_that_are_used_are_there_and_all_are_used(self) -> None:
        for overlay in self.each():
            used = set()
            for one in overlay.deployments():
                used |= {source["configMapRef"]["name"] for source in container(one).get("envFrom", [])}
                used |= {volume["configMap"]["name"] for volume in pod(one).get("volumes", []) if "configMap" in volume}
            self.assertEqual(used, {name_of(one) for one in overlay.all("ConfigMap")}, overlay.name)

    def test_secrets_are_made_by_commands_in_the_guide_and_are_in_no_manifest(self) -> None:
        guide = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
        for overlay in self.each():
            self.assertEqual(overlay.all("Secret"), [])
            used = {
                volume["secret"]["secretName"]: volume["secret"].get("items", [])
                for one in overlay.deployments()
                for volume in pod(one).get("volumes", [])
                if "secret" in volume
            }
            self.assertEqual(used.keys(), {"backend-secrets", "lb-tls"}, overlay.name)
            self.assertIn("create secret tls lb-tls", guide)
            self.assertIn("create secret generic backend-secrets", guide)
            for item in used["backend-secrets"]:
                self.assertIn("--from-file=" + "$secrets/" + item["key"], guide)

    def test_files_that_settings_name_are_mounted(self) -> None:
        for overlay in self.each():
            for one in overlay.deployments():
                volumes = {volume["name"]: volume for volume in pod(one).get("volumes", [])}
                mounts = container(one).get("volumeMounts", [])
                self.assertEqual({mount["name"] for mount in mounts}, volumes.keys())
                files = {
                    f"{mount['mountPath']}/{item['path']}"
                    for mount in mounts
                    for item in volumes[mount["name"]].get("secret", {}).get("items", [])
                }
                named = {value for key, value in overlay.environment(one).items() if key.endswith("_FILE")}
                self.assertEqual(named, files, (overlay.name, name_of(one)))
                for mount in mounts:
                    # One file by subPath never changes while the pod lives.
                    self.assertNotIn("subPath", mount)
                    self.assertTrue(mount["readOnly"])


class Selectors(Case):
    def test_deployments_select_their_own_pods(self) -> None:
        for overlay in self.each():
            for one in overlay.deployments():
                self.assertIs(self.only(overlay, one["spec"]["selector"]), one)

    def test_pods_are_spread_among_their_own(self) -> None:
        for overlay in self.each():
            for one in overlay.deployments():
                self.assertTrue(pod(one)["topologySpreadConstraints"], name_of(one))
                for constraint in pod(one)["topologySpreadConstraints"]:
                    self.assertIs(self.only(overlay, constraint["labelSelector"]), one)

    def test_services_have_pods_and_their_ports(self) -> None:
        for overlay in self.each():
            services = overlay.all("Service")
            self.assertEqual({name_of(one) for one in services}, {"backend-api", "frontend", "lb"})
            for service in services:
                deployment = self.only(overlay, {"matchLabels": service["spec"]["selector"]})
                for port in service["spec"]["ports"]:
                    number = port_number(deployment, port["targetPort"])
                    if service["spec"].get("clusterIP") == "None":
                        # The name resolves to pods: nobody translates ports.
                        self.assertEqual(port["port"], number, name_of(service))

    def test_budgets_have_pods_and_leave_some_to_evict(self) -> None:
        for overlay in self.each():
            budgets = overlay.all("PodDisruptionBudget")
            of = {name_of(self.only(overlay, one["spec"]["selector"])): one["spec"]["minAvailable"] for one in budgets}
            if overlay.name == "single-node":
                self.assertEqual(of, {})
                continue
            self.assertEqual(of, {"backend-api": 2, "frontend": 1, "lb": 2})
            for name, kept in of.items():
                self.assertLess(kept, fewest(overlay, name), (overlay.name, name))

    def test_autoscalers_have_deployments_that_request_what_is_measured(self) -> None:
        for overlay in self.each():
            scaled = set()
            for scaler in overlay.all("HorizontalPodAutoscaler"):
                target = scaler["spec"]["scaleTargetRef"]
                deployment = overlay.one(target["kind"], target["name"])
                self.assertEqual(target["apiVersion"], deployment["apiVersion"])
                # Applied again, a number would undo what the autoscaler has done.
                self.assertNotIn("replicas", deployment["spec"], name_of(deployment))
                self.assertLess(scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"])
                for metric in resources(scaler):
                    self.assertIn(metric["name"], container(deployment)["resources"]["requests"])
                scaled.add(target["name"])
            self.assertEqual(scaled, {"backend-api", "lb"}, overlay.name)
            self.assertGreaterEqual(overlay.one("Deployment", "frontend")["spec"]["replicas"], 1)

    def test_monitors_find_pods_and_are_let_in(self) -> None:
        (overlay,) = (one for one in self.each() if one.name == "monitored")
        paths = {"lb": "/metrics", "backend-api": "/api/v1/scaling/metrics/prometheus"}
        found = {}
        for monitor in overlay.all("PodMonitor"):
            deployment = self.only(overlay, monitor["spec"]["selector"])
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            found[name_of(deployment)] = endpoint["path"]
            # lb says itself of which namespace it speaks; the Operator's label would win.
            self.assertIs(endpoint.get("honorLabels", False), name_of(deployment) == "lb")
            number = port_number(deployment, endpoint["port"])
            self.assertIn("monitoring", sources(overlay, deployment, number), name_of(deployment))
            self.assertIn(monitor["spec"]["jobLabel"], pod_labels(deployment))
        self.assertEqual(found, paths)


class Network(Case):
    def test_nothing_is_allowed_that_is_not_listed(self) -> None:
        for overlay in self.each():
            policy = overlay.one("NetworkPolicy", "nothing-by-default")
            self.assertEqual(policy["spec"], {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})

    def test_policies_have_pods_and_their_ports(self) -> None:
        for overlay in self.each():
            for policy in overlay.all("NetworkPolicy"):
                spec = policy["spec"]
                # Rules of a type that is not listed are ignored.
                for key, kind in (("ingress", "Ingress"), ("egress", "Egress")):
                    self.assertTrue(key not in spec or kind in spec["policyTypes"], name_of(policy))
                if spec["podSelector"]:
                    deployment = self.only(overlay, spec["podSelector"])
                    for rule in spec.get("ingress", []):
                        for port in rule["ports"]:
                            port_number(deployment, port["port"])

    def test_who_asks_whom_is_what_is_allowed_and_nothing_else(self) -> None:
        for overlay in self.each():
            monitoring = {"monitoring"} if overlay.name == "monitored" else set()
            lb, backend, frontend = (overlay.one("Deployment", name) for name in ("lb", "backend-api", "frontend"))
            self.assertEqual(sources(overlay, backend, 8000), {"lb"} | monitoring, overlay.name)
            self.assertEqual(sources(overlay, frontend, 3000), {"lb"}, overlay.name)
            self.assertEqual(sources(overlay, lb, ports(lb)["status"]), monitoring, overlay.name)
            for name in ("http", "https"):
                self.assertEqual(sources(overlay, lb, ports(lb)[name]), {"everybody"}, overlay.name)
            # The API server: nobody knows its address here, but its port.
            numbers = {"by-dns": [], "single-node": [443, 6443, 8443, 16443]}.get(overlay.name, [443, 6443])
            asked = {("dns", 53), ("backend", 8000), ("frontend", 3000)} | {("everybody", port) for port in numbers}
            self.assertEqual(targets(overlay, lb), asked, overlay.name)
            self.assertEqual(targets(overlay, frontend), {("dns", 53)})

    def test_backends_reach_the_databases_that_they_are_told_of(self) -> None:
        for overlay in self.each():
            backend = overlay.one("Deployment", "backend-api")
            settings = overlay.environment(backend)
            keys = ("POSTGRES_SERVER", "POSTGRES_READ_REPLICAS", "REDIS_NODES")
            named = [settings[key] for key in keys if key in settings]
            self.assertIn("POSTGRES_SERVER", settings, overlay.name)
            self.assertIn("REDIS_NODES", settings, overlay.name)
            needed = {int(address.rpartition(":")[2]) for address in ",".join(named).split(",")}
            allowed = {port for peer, port in targets(overlay, backend) if peer == "everybody"}
            self.assertEqual(needed, allowed, overlay.name)


class Times(Case):
    def test_stopping_has_the_time_that_draining_takes(self) -> None:
        for overlay in self.each():
            for one in overlay.deployments():
                sleep = container(one).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                stop = shutdown(overlay, one)
                self.assertLess(sleep + sum(stop), pod(one)["terminationGracePeriodSeconds"], name_of(one))

    def test_lb_serves_while_the_balancer_in_front_goes_on_sending(self) -> None:
        for overlay in self.each():
            lb = overlay.one("Deployment", "lb")
            self.assertGreaterEqual(container(lb)["lifecycle"]["preStop"]["sleep"]["seconds"], 15)
            # Until it stops accepting it has to count as serving: its readiness probe must not
            # have failed so often.
            probe = container(lb)["readinessProbe"]
            self.assertLess(shutdown(overlay, lb)[0], probe["periodSeconds"] * (probe["failureThreshold"] - 1))

    def test_a_pod_serves_until_the_checks_of_lb_have_seen_that_it_stops(self) -> None:
        for overlay in self.each():
            for upstream in overlay.lb()["upstreams"].values():
                deployment = endpoint_pods(overlay, upstream)
                check = upstream["health_check"]
                self.assertEqual(check["path"], container(deployment)["readinessProbe"]["httpGet"]["path"])
                # A tenth later by chance.
                noticed = 1.1 * seconds(check["interval"]) + seconds(check["timeout"])
                noticed += 1.1 * seconds(check["failing_interval"]) * (check["unhealthy_after"] - 1)
                self.assertGreater(shutdown(overlay, deployment)[0], noticed, name_of(deployment))

    def test_an_update_waits_until_the_new_pod_carries_its_share(self) -> None:
        for overlay in self.each():
            for upstream in overlay.lb()["upstreams"].values():
                share = WATCH_SECONDS + seconds(upstream["health_check"]["timeout"])
                share += seconds(upstream.get("slow_start", "0s"))
                waits = endpoint_pods(overlay, upstream)["spec"]["minReadySeconds"]
                self.assertGreater(waits, max(share, DNS_SECONDS))
            for one in overlay.deployments():
                self.assertEqual(one["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0, name_of(one))


class Sizes(Case):
    def test_the_figures_of_the_guide_that_this_follows(self) -> None:
        for overlay in self.each():
            backend = container(overlay.one("Deployment", "backend-api"))
            self.assertEqual(
                backend["resources"],
                {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}},
            )
            figures = {
                name: tuple(backend[name][key] for key in ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold"))
                for name in ("livenessProbe", "readinessProbe", "startupProbe")
            }
            self.assertEqual(
                figures,
                {"livenessProbe": (60, 10, 5, 3), "readinessProbe": (10, 5, 3, 3), "startupProbe": (0, 10, 3, 30)},
            )
            spec = overlay.one("HorizontalPodAutoscaler", "backend-hpa")["spec"]
            bounds = (3, 5) if overlay.name == "single-node" else (3, 20)
            self.assertEqual((spec["minReplicas"], spec["maxReplicas"]), bounds, overlay.name)
            scaler = overlay.one("HorizontalPodAutoscaler", "backend-hpa")
            use = {one["name"]: one["target"]["averageUtilization"] for one in resources(scaler)}
            self.assertEqual(use, {"cpu": 70, "memory": 80})
            behavior = {
                way: (
                    rule["stabilizationWindowSeconds"],
                    rule["selectPolicy"],
                    [(policy["type"], policy["value"], policy["periodSeconds"]) for policy in rule["policies"]],
                )
                for way, rule in spec["behavior"].items()
            }
            self.assertEqual(
                behavior,
                {
                    "scaleUp": (60, "Max", [("Percent", 50, 60), ("Pods", 2, 60)]),
                    "scaleDown": (300, "Min", [("Percent", 10, 60), ("Pods", 1, 180)]),
                },
            )

    def test_connections_of_all_backends_fit_into_a_server(self) -> None:
        for overlay in self.each():
            backend = overlay.one("Deployment", "backend-api")
            spec = backend["spec"]
            most = overlay.one("HorizontalPodAutoscaler", "backend-hpa")["spec"]["maxReplicas"]
            # During an update, pods that stop still have theirs.
            stopping = math.ceil(pod(backend)["terminationGracePeriodSeconds"] / spec["minReadySeconds"])
            pods = most + spec["strategy"]["rollingUpdate"]["maxSurge"] + stopping
            settings = overlay.environment(backend)
            for key in ("POSTGRES_MAX_CONNECTIONS", "POSTGRES_REPLICA_MAX_CONNECTIONS"):
                if key == "POSTGRES_MAX_CONNECTIONS" or "POSTGRES_READ_REPLICAS" in settings:
                    self.assertLess(pods * int(settings[key]), SERVER_CONNECTIONS[overlay.name], (overlay.name, key))

    def test_connections_of_clients_fit_into_half_of_the_memory(self) -> None:
        for overlay in self.each():
            limit = mebibytes(container(overlay.one("Deployment", "lb"))["resources"]["limits"]["memory"])
            self.assertLess(overlay.lb()["max_connections"] * 27 / 1024, 0.55 * limit)

    def test_requests_are_no_more_than_limits(self) -> None:
        for overlay in self.each():
            for one in overlay.deployments():
                requests, limits = (container(one)["resources"][key] for key in ("requests", "limits"))
                self.assertLessEqual(millicores(requests["cpu"]), millicores(limits["cpu"]), name_of(one))
                self.assertLessEqual(mebibytes(requests["memory"]), mebibytes(limits["memory"]), name_of(one))


class Hardening(Case):
    def test_pods_have_no_more_than_they_need(self) -> None:
        for overlay in self.each():
            levels = overlay.one("Namespace", NAMESPACE)["metadata"]["labels"]
            self.assertEqual(levels["pod-security.kubernetes.io/enforce"], "restricted")
            for one in overlay.deployments():
                context = pod(one)["securityContext"]
                self.assertTrue(context["runAsNonRoot"])
                self.assertEqual((context["runAsUser"], context["runAsGroup"]), (65532, 65532))
                self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
                self.assertEqual(
                    container(one)["securityContext"],
                    {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
                )
                # Else a Service may overwrite settings: POSTGRES_PORT=tcp://…
                self.assertIs(pod(one)["enableServiceLinks"], False)
                for key in ("hostNetwork", "hostPID", "hostIPC"):
                    self.assertNotIn(key, pod(one))
                for number in ports(one).values():
                    self.assertGreater(number, 1023)
                # The group of the process is what may read secrets.
                for volume in pod(one).get("volumes", []):
                    if "secret" in volume:
                        self.assertEqual(volume["secret"]["defaultMode"], 0o440)
                        self.assertEqual(context["fsGroup"], 65532)

    def test_images_have_a_version(self) -> None:
        for overlay in self.each():
            for one in overlay.deployments():
                self.assertRegex(container(one)["image"], r"/(lb|backend):(\d+\.\d+\.\d+|dev)$")


def resources(scaler: dict) -> list[dict]:
    """What an autoscaler knows of CPU and memory."""
    return [metric["resource"] for metric in scaler["spec"]["metrics"] if metric["type"] == "Resource"]


def fewest(overlay: Overlay, name: str) -> int:
    """How many pods a Deployment has at least."""
    for scaler in overlay.all("HorizontalPodAutoscaler"):
        if scaler["spec"]["scaleTargetRef"]["name"] == name:
            return scaler["spec"]["minReplicas"]
    return overlay.one("Deployment", name)["spec"]["replicas"]


def shutdown(overlay: Overlay, deployment: dict) -> tuple[int, int]:
    """How long its process goes on accepting once it is told to stop, and then drains."""
    if name_of(deployment) == "lb":
        times = overlay.lb()["shutdown"]
        return seconds(times["delay"]), seconds(times["drain_timeout"])
    settings = overlay.environment(deployment)
    return seconds(settings["BACKEND_SHUTDOWN_DELAY"]), seconds(settings["BACKEND_DRAIN_TIMEOUT"])


if __name__ == "__main__":
    unittest.main()
