import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from chaos_table import put, table  # noqa: E402

REPORT = """# Chaos run

lb 0.1.0, 300 requests a second.

| fault | failed |
|---|--:|
| killed | 0 |

**killed**

- 5 retries
"""


class ChaosTable(unittest.TestCase):
    def test_the_table_and_what_ran(self):
        expected = "lb 0.1.0, 300 requests a second.\n\n| fault | failed |\n|---|--:|\n| killed | 0 |"
        self.assertEqual(table(REPORT), expected)

    def test_what_is_between_the_markers_is_replaced(self):
        text = "a\n<!-- chaos:begin -->\nold\n<!-- chaos:end -->\nb\n"
        self.assertEqual(put(text, "new"), text.replace("old", "new"))

    def test_a_text_without_markers_is_left_alone(self):
        with self.assertRaises(SystemExit):
            put("a", "new")


if __name__ == "__main__":
    unittest.main()
