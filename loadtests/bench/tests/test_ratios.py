import unittest

import ratios


class Ratios(unittest.TestCase):
    def test_each_round_is_compared_with_itself(self):
        self.assertEqual(ratios.ratios([2.0, 9.0], [4.0, 3.0]), [0.5, 3.0])
        self.assertEqual(ratios.differences([2.0, 9.0], [4.0, 3.0]), [-2.0, 6.0])

    def test_rounds_that_do_not_match_are_refused(self):
        with self.assertRaises(ValueError):
            ratios.ratios([1.0, 2.0], [1.0])

    def test_spread_is_median_lowest_and_highest(self):
        self.assertEqual(ratios.spread([3.0, 1.0, 2.0]), ratios.Spread(2.0, 1.0, 3.0))
        self.assertEqual(ratios.spread([4.0, 1.0, 2.0, 3.0]).median, 2.5)

    def test_better_peer_is_the_one_with_the_lower_median_not_the_lowest_value(self):
        self.assertEqual(ratios.better_of({"nginx": [1.0, 9.0, 9.0], "haproxy": [5.0, 5.0, 5.0]}), "haproxy")

    def test_verdict(self):
        self.assertEqual(ratios.verdict(0.9, 1.0, 0.9), "goal met")
        self.assertEqual(ratios.verdict(1.0, 1.0, 0.9), "bar met")
        self.assertEqual(ratios.verdict(1.01, 1.0, 0.9), "missed")
        self.assertEqual(ratios.verdict(1.0, 1.0, None), "bar met")

    def test_everyone_is_first_once(self):
        turns = [ratios.in_turns(["a", "b", "c"], turn) for turn in range(4)]
        self.assertEqual(turns, [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]])
