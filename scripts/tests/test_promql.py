"""What monitoring.promql reads out of expressions."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from monitoring.promql import PromqlError, Selector, read  # noqa: E402


def metrics(expression: str) -> list[str]:
    return [selector.metric for selector in read(expression).selectors]


class Selectors(unittest.TestCase):
    def test_functions_keywords_and_labels_are_no_metrics(self) -> None:
        expression = """
            histogram_quantile(0.99, sum by (job, le) (rate(a_bucket{x="sum(b)"}[5m:1m] offset 1h)))
              / on (job) group_left (name) sum(c) without (le) > bool 1e3 and time() unless inf
              or absent(d) # not e
        """
        self.assertEqual(metrics(expression), ["a_bucket", "c", "d"])

    def test_aggregation_after_a_bracket_and_with_a_parameter(self) -> None:
        self.assertEqual(metrics('topk(5, a) by (x) + count_values("v", b)'), ["a", "b"])

    def test_matchers_are_kept_with_their_operators(self) -> None:
        (selector,) = read('a{x="1", y!~\'b|c\', z=~`d\\w`,}').selectors
        self.assertEqual(
            selector, Selector("a", (("x", "=", "1"), ("y", "!~", "b|c"), ("z", "=~", "d\\w")))
        )

    def test_the_name_may_be_a_matcher(self) -> None:
        self.assertEqual(read('{__name__="a", x="1"}').selectors, (Selector("a", (("x", "=", "1"),)),))

    def test_a_metric_named_as_an_aggregation_is_one_unless_it_groups(self) -> None:
        self.assertEqual(metrics("count + sum by (x) (a)"), ["count", "a"])


class Groupings(unittest.TestCase):
    def test_by_is_about_what_is_beside_it(self) -> None:
        groupings = read("sum by (x) (a) / sum(b + c) by (y) * on (z) d").groupings
        about = [(g.keyword, g.labels, [s.metric for s in g.selectors]) for g in groupings]
        self.assertEqual(
            about,
            [
                ("by", ("x",), ["a"]),
                ("by", ("y",), ["b", "c"]),
                ("on", ("z",), ["a", "b", "c", "d"]),
            ],
        )


class Errors(unittest.TestCase):
    def test_what_cannot_be_read_is_refused(self) -> None:
        for expression in ["a{", "a)", "(a]", 'a{x="1}', "a{x}", 'a{x="1" y="2"}', '{x="1"}', "a ; b"]:
            with self.subTest(expression), self.assertRaises(PromqlError):
                read(expression)


if __name__ == "__main__":
    unittest.main()
