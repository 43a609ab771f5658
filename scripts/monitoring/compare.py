"""Whether what is asked is exposed: names, labels, and values of labels."""

import re
from collections.abc import Iterable

from . import promql
from .exposition import TARGET_LABELS, Series
from .sources import Asked

# Made by Prometheus itself.
SYNTHETIC = frozenset(["up", "ALERTS"])
JOBS = frozenset(["lb", "backend", "prometheus"])

# Exposed only by an lb that is configured so (docs/operations.md, "Metrics"). With
# --strict they have to be there, too: scripts/test-monitoring.sh runs an lb that has all.
CONDITIONAL: dict[str, frozenset[str]] = {
    "lb_upstream_queue_length": frozenset(["upstream"]),
    "lb_upstream_circuit_state": frozenset(["upstream"]),
    "lb_upstream_circuit_opened_total": frozenset(["upstream"]),
    "lb_dns_failures_total": frozenset(["upstream", "name"]),
    "lb_kubernetes_endpoints": frozenset(["upstream", "namespace", "service", "state"]),
    "lb_kubernetes_failures_total": frozenset(["upstream", "namespace", "service", "reason"]),
    "lb_kubernetes_problem": frozenset(["upstream", "namespace", "service", "problem"]),
    "lb_kubernetes_stale_since_timestamp_seconds": frozenset(["upstream", "namespace", "service"]),
}

# Labels with values that come when something happens; which ones cannot be told from one
# scrape. The values of all others are there from the start.
BY_EVENT = frozenset(
    [
        ("lb_requests_total", "status_class"),
        ("lb_requests_total", "cause"),
        ("fastnext_http_requests_total", "status"),
    ]
)
# A regular expression that is a list of values; anything else is not looked into.
ALTERNATIVES = re.compile(r"^[\w-]+(?:\|[\w-]+)*$")


def problems(asked: Iterable[Asked], exposed: Series, strict: bool = False) -> list[str]:
    """A line for each thing that is asked for and not exposed; none if all is well."""
    found: list[str] = []
    for one in asked:
        try:
            query = promql.read(one.expression)
        except promql.PromqlError as error:
            found.append(f"{one.where}: {error}: {one.expression}")
            continue
        found += [f"{one.where}: {problem}" for problem in _of_query(one, query, exposed, strict)]
    return list(dict.fromkeys(found))


def _of_query(one: Asked, query: promql.Query, exposed: Series, strict: bool) -> list[str]:
    found = []
    for selector in query.selectors:
        labels = _labels(selector.metric, exposed, strict)
        if labels is None:
            found.append(f"{selector.metric} is not exposed")
            continue
        for label, operator, value in selector.matchers:
            if label not in labels:
                found.append(f"{selector.metric} has no label {label}")
            elif operator in ("=", "=~"):
                found += _values(selector.metric, label, value, exposed)
    if any(_labels(selector.metric, exposed, strict) is None for selector in query.selectors):
        return found  # what it would have is not known
    for grouping in query.groupings:
        known = _any_of(grouping.selectors, exposed, strict)
        found += [
            f"{grouping.keyword} ({label}): nothing that it is about has this label"
            for label in grouping.labels
            if label not in known
        ]
    known = _any_of(query.selectors, exposed, strict)
    found += [
        f"a text names {label}, which nothing here has"
        for label in sorted(one.labels)
        if label not in known
    ]
    return found


def _labels(metric: str, exposed: Series, strict: bool) -> frozenset[str] | None:
    if metric in SYNTHETIC:
        return TARGET_LABELS
    if metric in exposed:
        return TARGET_LABELS | exposed[metric].keys()
    if not strict and metric in CONDITIONAL:
        return TARGET_LABELS | CONDITIONAL[metric]
    return None


def _any_of(selectors: Iterable[promql.Selector], exposed: Series, strict: bool) -> frozenset[str]:
    every = [_labels(selector.metric, exposed, strict) or frozenset() for selector in selectors]
    return frozenset().union(*every)


def _values(metric: str, label: str, wanted: str, exposed: Series) -> list[str]:
    if not ALTERNATIVES.match(wanted) or (metric, label) in BY_EVENT:
        return []
    if label == "job":
        there: Iterable[str] = JOBS
    elif metric in exposed and label in exposed[metric]:
        there = exposed[metric][label]
    else:
        return []
    return [f'{metric} has no {label}="{value}"' for value in wanted.split("|") if value not in there]
