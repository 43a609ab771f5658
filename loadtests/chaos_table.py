"""Puts the table of the latest chaos run where it is shown.

    python3 loadtests/chaos_table.py loadtests/results/chaos.md README.md docs/operations.md
"""

import re
import sys
from pathlib import Path

BEGIN, END = "<!-- chaos:begin -->", "<!-- chaos:end -->"


def table(report):
    """The first table of a report, and the line above it that says what ran."""
    lines = report.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = [line for line in lines[first:] if line.startswith("|")]
    setting = next(line for line in reversed(lines[:first]) if line)
    return "\n".join([setting, "", *rows])


def put(text, shown):
    """The text with what is between the markers replaced."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"there is not one place between {BEGIN} and {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n{shown}\n{END}", text)


def main(report, *targets):
    shown = table(Path(report).read_text())
    for target in map(Path, targets):
        target.write_text(put(target.read_text(), shown))


if __name__ == "__main__":
    main(*sys.argv[1:])
