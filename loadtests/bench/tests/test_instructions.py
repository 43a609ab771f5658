import unittest

import instructions


class Growth(unittest.TestCase):
    def test_a_tenth_may_be_added(self):
        self.assertEqual(list(instructions.growths({"lb": 1100}, {"lb": 1000})), [])
        self.assertEqual(len(list(instructions.growths({"lb": 1101}, {"lb": 1000}))), 1)

    def test_less_is_no_failure(self):
        self.assertEqual(list(instructions.growths({"lb": 10}, {"lb": 1000})), [])

    def test_what_is_not_recorded_fails(self):
        self.assertEqual(len(list(instructions.growths({"lb": 10}, {}))), 1)
