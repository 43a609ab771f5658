#!/usr/bin/env python3
"""Draws a run: CPU per request of lb against the better of nginx and HAProxy.

    chart.py BENCH_JSON PNG
"""

import json
import pathlib
import sys

import matplotlib

# Without a display.
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

OURS = {"lb": ("lb", "#1b6ca8"), "lb-pingora": ("lb, Pingora engine", "#b5b5b5")}
THICKNESS = 0.38

LABEL = (
    "of the better of nginx and HAProxy, in the same run; less is better\n"
    "CPU per request, unless the row says otherwise; whiskers: lowest and highest of the rounds"
)

# What is worse than that is cut off; its number stands beside it.
WORST = 3.0


def main() -> None:
    results = json.loads(pathlib.Path(sys.argv[1]).read_text())
    rows = list(reversed(results["rows"]))
    figure, axes = pyplot.subplots(figsize=(10, 1.5 + 0.5 * len(rows)))
    for place, (name, (label, colour)) in enumerate(OURS.items()):
        key = f"{name}/better"
        bars = [(y, row["ratios"][key]) for y, row in enumerate(rows) if key in row["ratios"]]
        medians = [found["median"] for _, found in bars]
        axes.barh(
            [y + THICKNESS * (0.5 - place) for y, _ in bars],
            medians,
            THICKNESS,
            xerr=[
                [found["median"] - found["lowest"] for _, found in bars],
                [found["highest"] - found["median"] for _, found in bars],
            ],
            color=colour,
            label=label,
            error_kw={"elinewidth": 1, "capsize": 2},
        )
        for y, found in bars:
            text_at = min(found["highest"], WORST * 0.93) + 0.02
            axes.text(text_at, y + THICKNESS * (0.5 - place), f"{found['median']:.2f}", va="center", fontsize=7)
    axes.set_xlim(0, WORST)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [f"{row['title']}\nagainst {row['better']}" for row in rows], fontsize=8)
    axes.set_xlabel(LABEL)
    axes.set_title(f"{results['machine']['cpu']}, {results['date'][:10]}, {results['rounds']} rounds", fontsize=9, pad=28)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8)
    figure.tight_layout()
    unfinished = pathlib.Path(sys.argv[2] + ".tmp")
    figure.savefig(unfinished, format="png", dpi=120)
    unfinished.replace(sys.argv[2])


if __name__ == "__main__":
    main()
