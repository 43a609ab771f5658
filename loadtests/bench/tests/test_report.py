import unittest

import report
import rows


def results(**changed) -> dict:
    return {
        "problems": [],
        "rounds": report.ROUNDS_OF_A_RESULT,
        "rows": [{"name": row.name} for row in rows.ROWS],
    } | changed


class Readme(unittest.TestCase):
    def test_only_what_is_between_the_marks_is_replaced(self):
        text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
        expected = f"before\n{report.BEGIN}\n\\1 new\n{report.END}\nafter\n"
        self.assertEqual(report.replace_section(text, "\\1 new\n"), expected)

    def test_a_text_without_marks_is_refused(self):
        with self.assertRaises(SystemExit):
            report.replace_section("before\n", "new\n")

    def test_a_trial_is_no_result(self):
        self.assertIsNone(report.unfit(results()))
        self.assertIn("rounds", report.unfit(results(rounds=1)))
        self.assertIn("small", report.unfit(results(rows=[{"name": row.name} for row in rows.ROWS[1:]])))
        self.assertEqual(report.unfit(results(problems=["lb lost its log"])), "lb lost its log")

    def test_names_of_rows_are_there_once(self):
        names = [row.name for row in rows.ROWS]
        self.assertEqual(len(names), len(set(names)))


class Numbers(unittest.TestCase):
    def test_three_digits_that_count(self):
        written = [report.number(value) for value in (0.123, 9.876, 15.56, 305.4)]
        self.assertEqual(written, ["0.12", "9.88", "15.6", "305"])
