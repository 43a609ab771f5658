"""The configuration of Prometheus and Grafana that is in the repository."""

import itertools
import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SCRIPTS))

from monitoring import sources  # noqa: E402

ROOT = SCRIPTS.parent
PROMETHEUS = ROOT / "config/prometheus"
GRAFANA = ROOT / "config/grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
COLUMNS = 24


def boards() -> list[tuple[str, dict]]:
    return [(path.name, json.loads(path.read_text(encoding="utf-8"))) for path in DASHBOARDS]


class Alerts(unittest.TestCase):
    rules = sources.alerts(PROMETHEUS / "alerts.yml")

    def test_each_says_what_whoever_is_called_needs(self) -> None:
        for rule in self.rules:
            self.assertIn(rule["labels"]["severity"], ["critical", "warning"], rule["alert"])
            self.assertEqual(rule["annotations"].keys(), {"summary", "description", "runbook"}, rule["alert"])
            self.assertIn("for", rule, rule["alert"])
        names = [rule["alert"] for rule in self.rules]
        self.assertEqual(len(names), len(set(names)))

    def test_each_has_a_test_that_it_fires(self) -> None:
        tests = "".join(path.read_text(encoding="utf-8") for path in PROMETHEUS.glob("*_test.yml"))
        fired = set(re.findall(r"alertname=\"(\w+)\"\}', value", tests))
        self.assertEqual(fired, {rule["alert"] for rule in self.rules})

    def test_the_table_in_the_documentation_has_the_same(self) -> None:
        text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
        section = text.split("\n### Alerts\n", 1)[1].split("\n## ", 1)[0]
        rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE)
        self.assertEqual(rows, [(rule["alert"], rule["labels"]["severity"]) for rule in self.rules])


class Dashboards(unittest.TestCase):
    def test_there_are_some(self) -> None:
        self.assertEqual([name for name, _ in boards()], ["edge.json", "fleet.json"])

    def test_panels_have_an_id_each_and_a_place_of_their_own(self) -> None:
        for name, board in boards():
            ids = [panel["id"] for panel in board["panels"]]
            self.assertEqual(len(ids), len(set(ids)), name)
            for panel in board["panels"]:
                place = panel["gridPos"]
                self.assertTrue(0 <= place["x"] and place["x"] + place["w"] <= COLUMNS, (name, panel["title"]))
                self.assertTrue(place["w"] > 0 and place["h"] > 0, (name, panel["title"]))
            for one, other in itertools.combinations(board["panels"], 2):
                self.assertFalse(overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"]))

    def test_panels_say_what_they_show_and_in_what_unit(self) -> None:
        for name, board in boards():
            self.assertGreaterEqual(board["schemaVersion"], 39, name)
            for panel in board["panels"]:
                if panel["type"] == "row":
                    continue
                where = (name, panel["title"])
                self.assertTrue(panel["description"], where)
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"], where)
                refs = [target["refId"] for target in panel["targets"]]
                self.assertTrue(refs, where)
                self.assertEqual(len(refs), len(set(refs)), where)
                for source in [panel["datasource"], *(t["datasource"] for t in panel["targets"])]:
                    self.assertEqual(source, {"type": "prometheus", "uid": "${datasource}"}, where)

    def test_variables_that_are_used_are_defined_and_the_other_way_round(self) -> None:
        for name, board in boards():
            defined = {variable["name"] for variable in board["templating"]["list"]}
            used = {match for match in sources.VARIABLE.findall(json.dumps(board)) if match[:2] != "__"}
            self.assertEqual(used, defined, name)
            self.assertLessEqual({"datasource", "instance"}, defined, name)

    def test_links_lead_to_a_dashboard(self) -> None:
        uids = {board["uid"] for _, board in boards()}
        self.assertEqual(len(uids), len(DASHBOARDS))
        for name, board in boards():
            for link in board["links"]:
                self.assertIn(link["url"].removeprefix("/d/"), uids, name)

    def test_prometheus_can_read_what_they_ask(self) -> None:
        asked = [one for path in DASHBOARDS for one in sources.of_dashboard(path)]
        rules = [{"record": f"asked:{n}", "expr": one.expression} for n, one in enumerate(asked)]
        with tempfile.TemporaryDirectory() as directory:
            # JSON is YAML.
            path = Path(directory) / "rules.json"
            path.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
            check = subprocess.run(["promtool", "check", "rules", "--lint=none", path], capture_output=True, text=True)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)
        self.assertIn(f"{len(asked)} rules found", check.stdout)


class Provisioning(unittest.TestCase):
    def test_the_data_source_is_prometheus_and_only_what_is_documented_is_asked_of_the_environment(self) -> None:
        import yaml

        (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
        self.assertEqual((source["type"], source["isDefault"]), ("prometheus", True))
        (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/lb.yaml").read_text())["providers"]
        self.assertEqual(provider["type"], "file")
        self.assertEqual(source["url"], "$__env{PROMETHEUS_URL}")
        self.assertEqual(provider["options"]["path"], "$__env{DASHBOARDS_DIR}")


def overlap(one: dict, other: dict) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


if __name__ == "__main__":
    unittest.main()
