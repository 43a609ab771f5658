#!/usr/bin/env python3
"""Prints ordinary requests alone and beside others, side by side.

    side_by_side.py TEST WITH_WHAT CASES CIRCUMSTANCES JSON

CASES has one JSON object a line: for each proxy "alone" and "beside" from wrk, and
"others", what became of the clients beside. Writes everything to JSON. Exits with 1
when a request failed, or when lb did not treat the others as it must.
"""

import json
import pathlib
import sys

PROXIES = ("lb", "nginx", "haproxy")
NUMBERS = (
    ("p50 ms", "p50_ms", ".2f"),
    ("p99 ms", "p99_ms", ".2f"),
    ("p99.9 ms", "p999_ms", ".2f"),
    ("requests/s", "requests_per_second", ".0f"),
    ("errors", "errors", "d"),
)


def main() -> None:
    test, with_what, cases_file, circumstances_file, json_file = sys.argv[1:]
    cases = [json.loads(line) for line in pathlib.Path(cases_file).read_text().splitlines()]
    by_case = {(case["proxy"], case["case"]): case for case in cases}
    circumstances = json.loads(pathlib.Path(circumstances_file).read_text())
    problems = list(find_problems(test, by_case))

    print(f"\nordinary requests, alone and {with_what}; one worker\n")
    print(f"{'':<10}" + "".join(f"{proxy:>24}" for proxy in PROXIES))
    print(f"{'':<10}" + f"{'alone':>12}{'with':>12}" * len(PROXIES))
    for title, key, form in NUMBERS:
        values = (by_case[proxy, case][key] for proxy in PROXIES for case in ("alone", "beside"))
        print(f"{title:<10}" + "".join(f"{value:>12{form}}" for value in values))
    print()
    for proxy in PROXIES:
        print(f"{proxy:<10}{describe(test, by_case, proxy)}")
    print()

    write(pathlib.Path(json_file), {"test": test, **circumstances, "cases": cases, "problems": problems})
    for problem in problems:
        print(f"FAILED  {problem}")
    sys.exit(1 if problems else 0)


def describe(test: str, by_case: dict, proxy: str) -> str:
    others = by_case[proxy, "others"]
    if test == "many-tls":
        opened = float(by_case[proxy, "beside"]["opened_in_s"])
        return (
            f"opened {others['connections']} in {opened:.1f} s, closed by the proxy "
            f"before the end: {others['closed_by_proxy']}"
        )
    text = f"closed {others['closed_by_proxy']} of {others['drippers']} drippers"
    if others["closed_after_s"]:
        after = others["closed_after_s"]
        statuses = ", ".join(f"{status}: {count}" for status, count in others["statuses"].items())
        text += f", after {after['first']} to {after['last']} s, median {after['median']} s ({statuses})"
    return text


def find_problems(test: str, by_case: dict):
    for (proxy, case), numbers in by_case.items():
        if numbers.get("errors"):
            yield f"{proxy}: {numbers['errors']} ordinary requests failed ({case})"
    closed = by_case["lb", "others"]["closed_by_proxy"]
    if test == "many-tls" and closed:
        yield f"lb: closed {closed} of the open connections"
    if test == "slow-clients" and not closed:
        yield "lb: closed no dripper"


def write(path: pathlib.Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(path)


if __name__ == "__main__":
    main()
