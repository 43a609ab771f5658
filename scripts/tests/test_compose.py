"""Whether docker-compose.scale.yml fits the files, configurations and programs it names.

scripts/test-compose.sh runs it, and says in the environment where `backend --help`
(BACKEND_HELP) and freshly made secrets (SECRETS_DIR) are.
"""

import os
import re
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.scale.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict] = COMPOSE["services"]
LB = yaml.safe_load((ROOT / "config/compose/lb.yaml").read_text(encoding="utf-8"))
PROMETHEUS = yaml.safe_load((ROOT / "config/prometheus/compose.yml").read_text(encoding="utf-8"))

OF_BACKEND = {name: service for name, service in SERVICES.items() if service["image"] == "backend"}


def listening_port(service: str) -> int:
    command = SERVICES[service]["command"]
    return int(command[command.index("--listen") + 1].rpartition(":")[2])


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def networks(service: str) -> set[str]:
    return set(SERVICES[service]["networks"])


class Files(unittest.TestCase):
    def test_what_is_mounted_is_there(self) -> None:
        for name, service in SERVICES.items():
            for volume in service.get("volumes", []):
                source, _, rest = volume.partition(":")
                if source.startswith("."):
                    self.assertTrue((ROOT / source).exists(), (name, source))
                    self.assertTrue(rest.endswith(":ro"), (name, volume))
                else:
                    self.assertIn(source, COMPOSE["volumes"], name)

    def test_what_is_run_or_read_at_the_start_is_mounted(self) -> None:
        for name, service in SERVICES.items():
            words = " ".join([*service.get("entrypoint", []), *service.get("command", [])])
            named = set(re.findall(r"/[\w/.-]+\.(?:sh|conf|yml)", words))
            targets = {volume.split(":")[1] for volume in service.get("volumes", [])}
            self.assertLessEqual(named, targets, name)

    def test_what_is_built_has_a_dockerfile(self) -> None:
        built = [service["build"]["dockerfile"] for service in SERVICES.values() if "build" in service]
        self.assertEqual(set(built), {"lb/Dockerfile", "backend/Dockerfile"})
        for path in built:
            self.assertTrue((ROOT / path).exists(), path)

    def test_scripts_that_are_run_as_programs_are_executable(self) -> None:
        # The image of PostgreSQL runs what is executable, and reads the rest into its own shell.
        for path in (ROOT / "config/compose").rglob("*.sh"):
            self.assertTrue(os.access(path, os.X_OK), path)

    def test_secrets_are_those_that_are_made_and_all_are_used(self) -> None:
        made = {path.name for path in Path(os.environ["SECRETS_DIR"]).iterdir()}
        used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
        self.assertEqual(COMPOSE["secrets"].keys(), made)
        self.assertEqual(used, made)
        for name, secret in COMPOSE["secrets"].items():
            self.assertEqual(secret["file"], "${SECRETS_DIR:-./config/compose/secrets}/" + name)

    def test_secrets_that_a_service_reads_are_given_to_it(self) -> None:
        for name, service in SERVICES.items():
            texts = [str(service.get("environment", "")), str(service.get("healthcheck", ""))]
            for volume in service.get("volumes", []):
                source = ROOT / volume.partition(":")[0]
                if volume.startswith("./config/compose/") and source.is_file():
                    texts.append(source.read_text(encoding="utf-8"))
            read = set(re.findall(r"/run/secrets/(\w+)", "\n".join(texts)))
            self.assertEqual(read, set(service.get("secrets", [])), name)

    def test_no_secret_stands_in_an_environment(self) -> None:
        for name, service in SERVICES.items():
            for variable in service.get("environment", {}):
                if "PASSWORD" in variable or "KEY" in variable:
                    self.assertTrue(variable.endswith("_FILE"), (name, variable))


class Ports(unittest.TestCase):
    def test_lb_binds_what_is_published(self) -> None:
        published = dict(port.split(":") for port in SERVICES["lb"]["ports"])
        bound = {name: one["bind"][0].rpartition(":")[2] for name, one in LB["listeners"].items()}
        self.assertEqual(set(published.values()), set(bound.values()))
        (redirect,) = (route["redirect"] for route in LB["virtual_hosts"][0]["routes"])
        self.assertEqual(published[str(redirect["port"])], bound["https"])

    def test_only_lb_is_reached_from_other_machines(self) -> None:
        for name, service in SERVICES.items():
            for port in service.get("ports", []):
                self.assertTrue(name == "lb" or port.startswith("127.0.0.1:"), (name, port))

    def test_endpoints_are_services_and_their_ports(self) -> None:
        for upstream in LB["upstreams"].values():
            for endpoint in upstream["endpoints"]:
                service, _, port = endpoint["address"].rpartition(":")
                self.assertEqual(int(port), listening_port(service), service)
                self.assertTrue(networks("lb") & networks(service), service)

    def test_checks_ask_the_port_that_is_served(self) -> None:
        for name in OF_BACKEND:
            self.assertIn(f":{listening_port(name)}/", SERVICES[name]["healthcheck"]["test"][-1], name)
        status = LB["status"]["address"].rpartition(":")[2]
        self.assertIn(f":{status}/", SERVICES["lb"]["healthcheck"]["test"][-1])

    def test_prometheus_scrapes_services_and_their_ports(self) -> None:
        jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
        (lb,) = jobs["lb"]["static_configs"][0]["targets"]
        self.assertEqual(lb, "lb:" + LB["status"]["address"].rpartition(":")[2])
        (backend,) = jobs["backend"]["dns_sd_configs"]
        self.assertEqual((backend["names"], backend["port"]), (["backend"], listening_port("backend")))
        for service in ("lb", "backend"):
            self.assertTrue(networks("prometheus") & networks(service), service)


class Programs(unittest.TestCase):
    help = Path(os.environ["BACKEND_HELP"]).read_text(encoding="utf-8")

    def test_the_backend_knows_its_settings(self) -> None:
        known = set(re.findall(r"\[env: (\w+)=", self.help))
        self.assertIn("BACKEND_SIGNING_KEY_FILE", known)
        for name, service in OF_BACKEND.items():
            self.assertLessEqual(service.get("environment", {}).keys(), known, name)

    def test_the_backend_knows_its_options(self) -> None:
        known = set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", self.help, re.MULTILINE))
        for name, service in OF_BACKEND.items():
            options = {word for word in service["command"] if word.startswith("--")}
            self.assertLessEqual(options, known, name)

    def test_servers_that_are_named_are_services_within_reach(self) -> None:
        settings = SERVICES["backend"]["environment"]
        named = ",".join(settings[key] for key in ("POSTGRES_SERVER", "POSTGRES_READ_REPLICAS", "REDIS_NODES"))
        hosts = {address.partition(":")[0] for address in named.split(",")}
        databases = {name for name in SERVICES if name.startswith(("postgres-", "redis-"))} - {"redis-init"}
        self.assertEqual(hosts, databases)
        for host in hosts:
            self.assertTrue(networks("backend") & networks(host), host)

    def test_connections_of_all_backends_fit_into_a_server(self) -> None:
        settings = SERVICES["backend"]["environment"]
        command = SERVICES["postgres-primary"]["command"]
        (maximum,) = (int(word.rpartition("=")[2]) for word in command if "max_connections" in word)
        # As in the head of the file: --scale backend=5.
        self.assertLess(5 * int(settings["POSTGRES_MAX_CONNECTIONS"]), maximum)
        self.assertLess(5 * int(settings["POSTGRES_REPLICA_MAX_CONNECTIONS"]), maximum)

    def test_the_cluster_is_made_of_the_nodes(self) -> None:
        addresses = [
            service["networks"]["cache"]["ipv4_address"]
            for name, service in SERVICES.items()
            if re.fullmatch(r"redis-\d", name)
        ]
        self.assertEqual(len(set(addresses)), 6)
        self.assertEqual(SERVICES["redis-init"]["command"], addresses)

    def test_stopping_has_the_time_that_draining_takes(self) -> None:
        drain = seconds(LB["shutdown"]["delay"]) + seconds(LB["shutdown"]["drain_timeout"])
        self.assertGreater(seconds(SERVICES["lb"]["stop_grace_period"]), drain)
        for name, service in OF_BACKEND.items():
            environment = service["environment"]
            drain = sum(seconds(environment[f"BACKEND_{key}"]) for key in ("SHUTDOWN_DELAY", "DRAIN_TIMEOUT"))
            self.assertGreater(seconds(service["stop_grace_period"]), drain, name)
            # Longer than the next check of lb is away.
            (upstream,) = (u for u in LB["upstreams"].values() if u["endpoints"][0]["address"].startswith(name))
            self.assertGreater(
                seconds(environment["BACKEND_SHUTDOWN_DELAY"]), seconds(upstream["health_check"]["interval"]), name
            )


class Order(unittest.TestCase):
    def test_nobody_waits_for_what_cannot_come(self) -> None:
        for name, service in SERVICES.items():
            for other, terms in service.get("depends_on", {}).items():
                condition = terms["condition"]
                self.assertIn(other, SERVICES, name)
                if condition == "service_healthy":
                    self.assertIn("healthcheck", SERVICES[other], (name, other))
                if condition == "service_completed_successfully":
                    self.assertEqual(SERVICES[other]["restart"], "no", (name, other))


class Hardening(unittest.TestCase):
    def test_each_service_has_no_more_than_it_needs(self) -> None:
        for name, service in SERVICES.items():
            self.assertTrue(service["read_only"], name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertEqual(service["security_opt"], ["no-new-privileges:true"], name)
            self.assertIn("mem_limit", service, name)
            self.assertIn("pids_limit", service, name)
            self.assertLessEqual(networks(name), COMPOSE["networks"].keys(), name)
            for key in ("privileged", "cap_add", "network_mode", "pid"):
                self.assertNotIn(key, service, name)

    def test_each_service_that_stays_is_checked_and_started_again(self) -> None:
        for name, service in SERVICES.items():
            if name != "redis-init":
                self.assertEqual(service["restart"], "unless-stopped", name)
                self.assertIn("healthcheck", service, name)

    def test_databases_are_out_of_reach_from_outside(self) -> None:
        for name, service in SERVICES.items():
            if name.startswith(("postgres-", "redis-", "backend", "frontend")):
                for network in networks(name):
                    self.assertTrue(COMPOSE["networks"][network]["internal"], (name, network))

    def test_images_have_a_version(self) -> None:
        for name, service in SERVICES.items():
            if "build" not in service:
                self.assertRegex(service["image"], r":v?\d", name)


if __name__ == "__main__":
    unittest.main()
