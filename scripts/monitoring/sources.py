"""What is asked of Prometheus: by the panels of the dashboards, and by the alert rules."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# $name, ${name} and ${name:format}; in an expression, where a duration stands, and elsewhere.
DURATION_VARIABLE = re.compile(r"\$\{?(?:__rate_interval|__interval|__range)\}?")
VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)(?::\w+)?\}?")
LABEL_VALUES = re.compile(r"^label_values\((?:(?P<expression>.+),)?\s*(?P<label>\w+)\)$")
LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
ANNOTATION = re.compile(r"\$labels\.(\w+)")


@dataclass(frozen=True)
class Asked:
    """An expression, where it stands, and the labels that texts beside it are made of."""

    where: str
    expression: str
    labels: frozenset[str] = frozenset()


def of_dashboard(path: Path) -> Iterator[Asked]:
    """The targets of its panels, and the queries of its variables."""
    board = json.loads(path.read_text(encoding="utf-8"))
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield _of_variable(f"{path.name}: variable {variable['name']}", variable["query"]["query"])
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            where = f"{path.name}: panel {panel['title']!r}, {target['refId']}"
            labels = frozenset(LEGEND.findall(target.get("legendFormat", "")))
            yield Asked(where, without_variables(target["expr"]), labels)


def _of_variable(where: str, query: str) -> Asked:
    match = LABEL_VALUES.match(query)
    if not match or not match["expression"]:
        raise ValueError(f"{where}: not label_values(METRIC, LABEL): {query}")
    return Asked(where, without_variables(match["expression"]), frozenset([match["label"]]))


def without_variables(expression: str) -> str:
    """The expression with something in place of Grafana's variables that Prometheus reads."""
    return VARIABLE.sub(".*", DURATION_VARIABLE.sub("5m", expression))


def alerts(path: Path) -> list[dict]:
    """The rules of a file, as they are written there."""
    import yaml  # Debian's python3-yaml; only what reads rules needs it

    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def of_rules(path: Path) -> Iterator[Asked]:
    """The expressions of alert rules, with the labels of their annotations."""
    for rule in alerts(path):
        texts = " ".join(rule.get("annotations", {}).values())
        where = f"{path.name}: {rule['alert']}"
        yield Asked(where, rule["expr"], frozenset(ANNOTATION.findall(texts)))
