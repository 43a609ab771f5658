"""What a process exposes: its metrics in Prometheus' text format."""

import re
import urllib.request
from collections import defaultdict
from pathlib import Path

SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+\S+(?:\s+-?\d+)?$")
LABEL = re.compile(r'\s*([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"\s*(?:,|$)')
# Labels that Prometheus itself gives to what it scrapes. A label of the process's own with
# the same name is renamed (honor_labels is off).
TARGET_LABELS = frozenset(["job", "instance"])

# By the name of a series (so x_bucket, not x): its labels, and the values of each.
Series = dict[str, dict[str, set[str]]]


def load(source: str) -> Series:
    """From an http(s) URL, or else a file."""
    if source.startswith(("http://", "https://")):
        # Never by way of a proxy: what is asked is on this machine or beside it.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(source, timeout=10) as response:
            return parse(response.read().decode())
    return parse(Path(source).read_text(encoding="utf-8"))


def parse(text: str) -> Series:
    """Raises ValueError where a line is no sample."""
    series: Series = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        if not match:
            raise ValueError(f"line {number} is no sample: {line[:80]!r}")
        labels = series.setdefault(match[1], defaultdict(set))
        for label, value in _labels(match[2] or "", number):
            name = f"exported_{label}" if label in TARGET_LABELS else label
            labels[name].add(value)
    return series


def _labels(text: str, number: int) -> list[tuple[str, str]]:
    pairs, at = [], 0
    while at < len(text):
        match = LABEL.match(text, at)
        if not match:
            raise ValueError(f"line {number}: these are no labels: {text[at:at + 80]!r}")
        pairs.append((match[1], match[2].replace('\\"', '"').replace("\\\\", "\\")))
        at = match.end()
    return pairs


def merge(*parts: Series) -> Series:
    """All series of several processes."""
    merged: Series = {}
    for part in parts:
        for name, labels in part.items():
            into = merged.setdefault(name, defaultdict(set))
            for label, values in labels.items():
                into[label] |= values
    return merged
