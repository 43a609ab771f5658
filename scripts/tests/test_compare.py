"""What monitoring.compare finds, and what it lets pass."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from monitoring import exposition  # noqa: E402
from monitoring.compare import problems  # noqa: E402
from monitoring.sources import Asked, _of_variable, without_variables  # noqa: E402

EXPOSED = exposition.parse(
    """
# HELP a_total Something with {braces}.
# TYPE a_total counter
a_total{kind="one",path="/{id}, \\"quoted\\""} 1
a_total{kind="two",path="/"} 2 1700000000
b_info{instance="own"} 1
lb_requests_total{status_class="2xx",cause=""} 1
plain 1e-05
"""
)


def of(expression: str, labels: frozenset[str] = frozenset(), strict: bool = False) -> list[str]:
    return problems([Asked("here", expression, labels)], EXPOSED, strict)


class Compare(unittest.TestCase):
    def test_what_is_exposed_passes(self) -> None:
        for expression in [
            'sum by (job, kind) (rate(a_total{job="lb",kind=~"one|two"}[5m]))',
            'a_total{path=~"/.*"} and on (instance) plain',
            'b_info{exported_instance="own"}',
            'up{job="backend"} == 0',
            'lb_requests_total{status_class="5xx"}',
        ]:
            self.assertEqual(of(expression), [], expression)

    def test_what_is_not_is_named(self) -> None:
        for expression, problem in [
            ("a_totl", "here: a_totl is not exposed"),
            ('a_total{kin="one"}', "here: a_total has no label kin"),
            ('a_total{kind="three"}', 'here: a_total has no kind="three"'),
            ('a_total{kind=~"one|three"}', 'here: a_total has no kind="three"'),
            ('up{job="lbs"}', 'here: up has no job="lbs"'),
            ("sum by (path) (plain) + a_total", "here: by (path): nothing that it is about has this label"),
        ]:
            self.assertEqual(of(expression), [problem], expression)

    def test_what_cannot_be_read_is_a_problem(self) -> None:
        self.assertIn("is not closed", of("sum(plain")[0])

    def test_labels_in_texts_have_to_be_there(self) -> None:
        self.assertEqual(of("a_total", frozenset(["kind", "instance"])), [])
        self.assertEqual(
            of("a_total", frozenset(["king"])), ["here: a text names king, which nothing here has"]
        )

    def test_conditional_metrics_pass_unless_strict(self) -> None:
        expression = "lb_upstream_queue_length"
        self.assertEqual(of(expression, frozenset(["upstream"])), [])
        self.assertEqual(len(of(expression, frozenset(["endpoint"]))), 1)
        self.assertIn("is not exposed", of(expression, strict=True)[0])


class Reading(unittest.TestCase):
    def test_lines_that_are_no_samples_are_refused(self) -> None:
        for text in ["<html>", "a{x=1} 1", "a"]:
            with self.subTest(text), self.assertRaises(ValueError):
                exposition.parse(text)

    def test_variables_of_grafana_are_replaced(self) -> None:
        self.assertEqual(
            without_variables('rate(a{x=~"$x",y=~"${y:regex}"}[$__rate_interval])'),
            'rate(a{x=~".*",y=~".*"}[5m])',
        )
        self.assertEqual(_of_variable("v", "label_values(a{x=\"1\"}, y)").labels, {"y"})
        with self.assertRaises(ValueError):
            _of_variable("v", "label_values(y)")


if __name__ == "__main__":
    unittest.main()
