"""What the autoscaler of the backends hears through the Prometheus Adapter."""

import json
import math
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))

from k8s import NAMESPACE, OVERLAYS, ROOT  # noqa: E402

COMPONENT = ROOT / "k8s/components/scale-by-requests"
METRIC = "fastnext_http_requests_in_flight"
(MONITORED,) = (one for one in OVERLAYS if one.name == "monitored")


def query(pods: list[str]) -> str:
    """What the adapter asks Prometheus for when it is asked for these pods."""
    text = rule()["metricsQuery"]
    replaced = {"Series": METRIC, "LabelMatchers": f'namespace="{NAMESPACE}",pod=~"{"|".join(pods)}"', "GroupBy": "pod"}
    for name, value in replaced.items():
        if f"<<.{name}>>" not in text:
            raise ValueError(f"the query has no {name}")
        text = text.replace(f"<<.{name}>>", value)
    return text


def rule() -> dict:
    (one,) = yaml.safe_load((COMPONENT / "adapter.yaml").read_text(encoding="utf-8"))["rules"]["custom"]
    return one


def scaler() -> dict:
    return MONITORED.one("HorizontalPodAutoscaler", "backend-hpa")["spec"]


def target() -> int:
    (one,) = (metric["pods"] for metric in scaler()["metrics"] if metric["type"] == "Pods")
    if one["metric"]["name"] != METRIC or one["target"]["type"] != "AverageValue":
        raise ValueError(one)
    return int(one["target"]["averageValue"])


class Rule(unittest.TestCase):
    def test_it_takes_what_backends_expose_and_gives_it_to_their_pods(self) -> None:
        exposed = (ROOT / "scripts/tests/backend-metrics.txt").read_text(encoding="utf-8")
        self.assertRegex(exposed, re.compile(f"^{METRIC} ", re.MULTILINE))
        one = rule()
        # The labels that the Prometheus Operator gives to what a PodMonitor finds.
        self.assertEqual(one["seriesQuery"], METRIC + '{namespace!="",pod!=""}')
        self.assertEqual(
            one["resources"], {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}}
        )
        self.assertEqual(re.sub(one["name"]["matches"], one["name"]["as"], METRIC), METRIC)

    def test_it_says_the_mean_of_a_minute_for_each_pod_without_the_reading_itself(self) -> None:
        series = {
            ("fastnext", "busy"): "9 17 9 17 9 17 9 17 9 17 9 17",
            ("fastnext", "idle"): "1+0x11",
            # A minute ago it was not.
            ("fastnext", "calm-again"): "90 90 90 90 90 3+0x6",
            ("fastnext", "new"): "_ _ _ _ _ _ _ _ 5 5 5 5",
            ("fastnext", "not-asked-for"): "50+0x11",
            ("elsewhere", "busy"): "70+0x11",
        }
        answers = {"busy": 12, "idle": 0, "calm-again": 2, "new": 4}
        document = {
            "evaluation_interval": "15s",
            "tests": [
                {
                    "interval": "15s",
                    "input_series": [
                        {"series": f'{METRIC}{{namespace="{namespace}",pod="{pod}",job="backend"}}', "values": values}
                        for (namespace, pod), values in series.items()
                    ],
                    "promql_expr_test": [
                        {
                            "expr": query(list(answers)),
                            # Between two readings: how a range treats its ends does not matter.
                            "eval_time": "2m20s",
                            "exp_samples": [{"labels": f'{{pod="{pod}"}}', "value": n} for pod, n in answers.items()],
                        }
                    ],
                }
            ],
        }
        with tempfile.TemporaryDirectory() as directory:
            # JSON is YAML.
            path = Path(directory) / "test.json"
            path.write_text(json.dumps(document), encoding="utf-8")
            done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Target(unittest.TestCase):
    def test_a_pod_at_the_target_uses_half_of_its_connections_at_most(self) -> None:
        settings = MONITORED.environment(MONITORED.one("Deployment", "backend-api"))
        for key in ("POSTGRES_MAX_CONNECTIONS", "POSTGRES_REPLICA_MAX_CONNECTIONS"):
            self.assertLessEqual(2 * target(), int(settings[key]))

    def test_it_is_beside_cpu_and_memory(self) -> None:
        kinds = [metric["type"] for metric in scaler()["metrics"]]
        self.assertEqual(kinds, ["Resource", "Resource", "Pods"])

    def test_the_guide_has_its_arithmetic_right(self) -> None:
        guide = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
        (example,) = re.findall(r"(\d+) pods with (\d+) requests each become\s+(\d+)", guide)
        pods, each, become = map(int, example)
        self.assertEqual(become, math.ceil(pods * each / target()))
        self.assertIn(f"`averageValue: \"{target()}\"`", guide)


if __name__ == "__main__":
    unittest.main()
