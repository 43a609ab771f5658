#!/usr/bin/env python3
"""Whether everything that the dashboards and the alert rules ask for is exposed.

    scripts/check-dashboards.py --lb URL --backend URL [--strict]

Each URL is that of /metrics of a running process that has had a request, or a file with
the same text. Lists every metric, label and value of a label that config/grafana or
config/prometheus asks for and neither of the two has; exits with 1 if there are any, and
with 2 if it could not look. --strict: also those that only some configurations of lb have.
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_OF_THE_SYSTEM = "/usr/bin/python3"

try:
    import yaml  # noqa: F401
except ImportError:
    # Debian's python3-yaml is for Debian's Python; another one may be first on the PATH.
    if os.path.realpath(sys.executable) == os.path.realpath(PYTHON_OF_THE_SYSTEM):
        sys.exit("check-dashboards: the Python module yaml is missing: install python3-yaml")
    try:
        os.execv(PYTHON_OF_THE_SYSTEM, [PYTHON_OF_THE_SYSTEM, *sys.argv])
    except OSError as error:
        sys.exit(f"check-dashboards: no Python has the module yaml: {PYTHON_OF_THE_SYSTEM}: {error}")

from monitoring import compare, exposition, sources  # noqa: E402


def main() -> int:
    """Prints the problems, or how much was compared; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lb", required=True, metavar="URL", help="lb's metrics, or a file")
    parser.add_argument("--backend", required=True, metavar="URL", help="a backend's, or a file")
    parser.add_argument("--strict", action="store_true", help="accept nothing that is conditional")
    arguments = parser.parse_args()
    try:
        exposed = [exposition.load(source) for source in (arguments.lb, arguments.backend)]
    except (OSError, ValueError) as error:
        print(f"check-dashboards: {error}", file=sys.stderr)
        return 2
    asked = everything()
    found = compare.problems(asked, exposition.merge(*exposed), arguments.strict)
    for problem in found:
        print(problem)
    print(f"check-dashboards: {len(asked)} expressions, {len(found)} problems", file=sys.stderr)
    return 1 if found else 0


def everything() -> list[sources.Asked]:
    """What all dashboards and all alert rules ask for."""
    asked: list[sources.Asked] = []
    for path in sorted((ROOT / "config/grafana/dashboards").glob("*.json")):
        asked += sources.of_dashboard(path)
    asked += sources.of_rules(ROOT / "config/prometheus/alerts.yml")
    return asked


if __name__ == "__main__":
    sys.exit(main())
