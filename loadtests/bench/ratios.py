"""The arithmetic of the comparison. Everything in here takes values of one run, a list
with one for each round: what is compared was measured minutes apart at most, and never
in another run."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Over the rounds."""

    median: float
    lowest: float
    highest: float

    def as_json(self) -> dict:
        return {"median": self.median, "lowest": self.lowest, "highest": self.highest}


def spread(values: list[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Of each round by itself."""
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def differences(ours: list[float], theirs: list[float]) -> list[float]:
    return [our - their for our, their in zip(ours, theirs, strict=True)]


def better_of(values: dict[str, list[float]]) -> str:
    """The peer with the lower median. It is the better one in every round then: the
    lowest of each round would pick what chance has favoured."""
    return min(values, key=lambda name: statistics.median(values[name]))


def verdict(value: float, bar: float, aim: float | None) -> str:
    if aim is not None and value <= aim:
        return "goal met"
    return "bar met" if value <= bar else "missed"


def in_turns(names: list[str], turn: int) -> list[str]:
    """Another one is first each time: what was before must not always be the same."""
    start = turn % len(names)
    return names[start:] + names[:start]
