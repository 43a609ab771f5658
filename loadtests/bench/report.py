#!/usr/bin/env python3
"""The tables of a run, in Markdown.

    report.py readme BENCH_JSON README    puts the table into README, between its marks
"""

import json
import pathlib
import re
import sys

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

NAMES = ("lb", "lb-pingora", "nginx", "haproxy")

# Fewer rounds, or not all rows, are for trying things out.
ROUNDS_OF_A_RESULT = 5


def main() -> None:
    if len(sys.argv) != 4 or sys.argv[1] != "readme":
        sys.exit("usage: report.py readme BENCH_JSON README")
    source, readme = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    if not source.exists():
        sys.exit(f"report: there is no {source}: make bench")
    results = json.loads(source.read_text())
    reason = unfit(results)
    if reason:
        sys.exit(f"report: {source} is no result for the README: {reason}")
    beside = source.relative_to(readme.parent) if source.is_relative_to(readme.parent) else source
    section = comparison(results) + troubles(results) + links(beside.parent)
    readme.write_text(replace_section(readme.read_text(), section))


def unfit(results: dict) -> str | None:
    import rows

    # Who does not keep up with the constant rate has told something, and it is shown.
    serious = [problem for problem in results["problems"] if not problem.startswith("latency, ")]
    if serious:
        return serious[0]
    if results["rounds"] < ROUNDS_OF_A_RESULT:
        return f"{results['rounds']} rounds, and {ROUNDS_OF_A_RESULT} are wanted"
    measured = {row["name"] for row in results["rows"]}
    missing = [row.name for row in rows.ROWS if row.name not in measured]
    return f"without {', '.join(missing)}" if missing else None


def replace_section(text: str, section: str) -> str:
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        sys.exit(f"report: {BEGIN} and {END} are not there once")
    return pattern.sub(lambda _: f"{BEGIN}\n{section}{END}", text)


def troubles(results: dict) -> str:
    """What did not go as planned, for readers to judge the rows by."""
    if not results["problems"]:
        return ""
    return "\nIn this run: " + "; ".join(results["problems"]) + ".\n"


def links(directory: pathlib.Path) -> str:
    """Where the rest is; all of it is committed together."""
    files = {"tables": "bench.md", "chart": "bench.png", "all values": "bench.json"}
    listed = ", ".join(f"[{name}]({directory}/{file})" for name, file in files.items())
    return f"\nMore of the same run: {listed}.\n"


def whole(results: dict) -> str:
    return "\n".join((comparison(results), other_engine(results), details(results), counts(results)))


def comparison(results: dict) -> str:
    """What stands in the README."""
    lines = [
        circumstances(results),
        "",
        table_row(
            "CPU µs a request, unless it says otherwise",
            *("lb", "nginx", "HAProxy", "lb/nginx", "lb/HAProxy", "lb/better", "bar / goal", ""),
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        values = (number(row["medians"][name][row["metric"]]) for name in ("lb", "nginx", "haproxy"))
        found = (ratio(row, f"lb/{peer}") for peer in ("nginx", "haproxy", "better"))
        goal = row.get("goal", {"text": "", "verdict": ""})
        lines.append(table_row(row["title"], *values, *found, goal["text"], goal["verdict"]))
    return "\n".join(lines) + "\n"


def other_engine(results: dict) -> str:
    lines = [
        "The Pingora engine for all requests (`engine: pingora`), in the same run:",
        "",
        "| | lb, Pingora engine | /nginx | /HAProxy | /better | /lb |",
        "|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        if "lb-pingora" not in row["medians"]:
            continue
        value = row["medians"]["lb-pingora"][row["metric"]]
        of_lb = value / row["medians"]["lb"][row["metric"]]
        found = (ratio(row, f"lb-pingora/{peer}") for peer in ("nginx", "haproxy", "better"))
        lines.append(table_row(row["title"], number(value), *found, f"{of_lb:.2f}"))
    return "\n".join(lines) + "\n"


def details(results: dict) -> str:
    """Medians. Requests a second are of clients and proxy together."""
    lines = [
        "Medians over the rounds; clients and origin have a part in requests a second and in times:",
        "",
        "| | | CPU µs | user | system | of its core | requests/s | p50 ms | p99 ms | p99.9 ms | memory MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        for name in (name for name in NAMES if name in row["medians"]):
            medians = row["medians"][name]
            cells = [row["title"], name]
            if "cpu_us" in medians:
                cells += [number(medians[key]) for key in ("cpu_us", "user_us", "system_us")]
                cells += [f"{medians['cpu_share']:.0%}", f"{medians['requests_per_second']:.0f}"]
                cells += [f"{medians[key]:.2f}" for key in ("p50_ms", "p99_ms", "p999_ms")]
            else:
                cells += [""] * 8
            lines.append(table_row(*cells, f"{medians['resident_kib'] / 1024:.1f}"))
    return "\n".join(lines) + "\n"


def counts(results: dict) -> str:
    lines = [
        "A small keep-alive request costs so many system calls and instructions:",
        "",
        "| | system calls | of them | instructions |",
        "|---|---|---|---|",
    ]
    for name, calls in results["syscalls_per_request"].items():
        each = sorted(((call, value) for call, value in calls.items() if call != "all"), key=lambda item: -item[1])
        listed = ", ".join(f"{call} {value:.2f}" for call, value in each)
        instructions = results["instructions_per_request"].get(name, "")
        lines.append(table_row(name, f"{calls['all']:.2f}", listed, str(instructions)))
    return "\n".join(lines) + "\n"


def circumstances(results: dict) -> str:
    machine, versions = results["machine"], results["versions"]
    return (
        f"{results['date'][:10]}, {machine['cpu']}, {machine['cores']} cores ({results['cores']}), "
        f"Linux {machine['kernel']}; {versions['lb']} ({results['git']}), nginx {versions['nginx']}, "
        f"HAProxy {versions['haproxy']}; one worker each, {results['rounds']} rounds of "
        f"{results['seconds_per_cell']} s, median and in brackets lowest and highest of the rounds."
    )


def ratio(row: dict, key: str) -> str:
    found = row["ratios"][key]
    return f"{found['median']:.2f} ({found['lowest']:.2f}–{found['highest']:.2f})"


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table_row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
