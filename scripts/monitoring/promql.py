"""Which metrics and labels an expression of PromQL asks for.

Not a parser: whether an expression is valid is for promtool to say. This tells a metric
from a function, a keyword and a label, for which tokens and brackets are enough.
"""

import re
from dataclasses import dataclass

TOKEN = re.compile(
    r"""\s+|\#[^\n]*
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    |(?P<number>(?:\d|\.\d)[\w.]*)
    |(?P<name>[A-Za-z_:][\w:]*)
    |(?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^(){}\[\],<>=@:])""",
    re.VERBOSE,
)
AGGREGATIONS = frozenset(
    "sum min max avg group stddev stdvar count count_values bottomk topk quantile".split()
)
KEYWORDS = frozenset("and or unless bool offset atan2 inf nan".split())
# Followed by a list of labels. The first two reduce what is in brackets beside them.
GROUPINGS = frozenset("by without on ignoring group_left group_right".split())
AGGREGATING = frozenset(["by", "without"])
PAIRS = {"(": ")", "{": "}", "[": "]"}


class PromqlError(ValueError):
    """The text cannot be cut into tokens, or its brackets do not fit."""


@dataclass(frozen=True)
class Selector:
    """A metric, and what is asked of its labels: (label, operator, value)."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Grouping:
    """The labels of a `by`, `on`, …, and the selectors that it is about."""

    keyword: str
    labels: tuple[str, ...]
    selectors: tuple[Selector, ...]


@dataclass(frozen=True)
class Query:
    """All selectors and groupings of an expression."""

    selectors: tuple[Selector, ...]
    groupings: tuple[Grouping, ...]


def read(expression: str) -> Query:
    """What an expression asks for. Variables of Grafana have to be replaced before."""
    return _Reader(_tokens(expression)).query()


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    while at < len(expression):
        match = TOKEN.match(expression, at)
        if not match:
            raise PromqlError(f"unexpected {expression[at]!r} at {at}")
        if match.lastgroup:
            tokens.append((match.lastgroup, match[0]))
        at = match.end()
    return tokens


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.partner = _brackets(tokens)
        self.found: list[tuple[int, Selector]] = []
        self.lists: list[tuple[str, tuple[str, ...], int, int]] = []

    def query(self) -> Query:
        at = 0
        while at < len(self.tokens):
            at = self._step(at)
        groupings = tuple(
            Grouping(keyword, labels, tuple(s for i, s in self.found if first <= i <= last))
            for keyword, labels, first, last in self.lists
        )
        return Query(tuple(selector for _, selector in self.found), groupings)

    def _step(self, at: int) -> int:
        kind, text = self.tokens[at]
        if text == "{":
            return self._selector(at, "", at)
        if text == "[":  # a range: its digits and colons are no metric
            return self.partner[at] + 1
        if kind != "name":
            return at + 1
        following = self._text(at + 1)
        word = text.lower()
        if word in GROUPINGS and following == "(":
            return self._grouping(at, word)
        if word in KEYWORDS or word in GROUPINGS or following == "(":
            return at + 1
        if word in AGGREGATIONS and following.lower() in AGGREGATING:
            return at + 1
        return self._selector(at, text, at + 1)

    def _selector(self, start: int, metric: str, brace: int) -> int:
        matchers, after = [], brace
        if self._text(brace) == "{":
            after = self.partner[brace] + 1
            parts = self.tokens[brace + 1 : after - 1]
            while parts:
                (label, operator, value), parts = _matcher(parts)
                if label == "__name__" and operator == "=":
                    metric = value
                else:
                    matchers.append((label, operator, value))
        if not metric:
            raise PromqlError("a selector without a metric")
        self.found.append((start, Selector(metric, tuple(matchers))))
        return after

    def _grouping(self, at: int, word: str) -> int:
        end = self.partner[at + 1]
        labels = tuple(text for kind, text in self.tokens[at + 2 : end] if kind == "name")
        first, last = 0, len(self.tokens)
        if word in AGGREGATING:
            # sum by (x) (…), or sum(…) by (x).
            if self._text(end + 1) == "(":
                first, last = end + 1, self.partner[end + 1]
            elif self._text(at - 1) == ")":
                first, last = self.partner[at - 1], at - 1
            else:
                raise PromqlError(f"{word} without what it is about")
        self.lists.append((word, labels, first, last))
        return end + 1

    def _text(self, at: int) -> str:
        return self.tokens[at][1] if 0 <= at < len(self.tokens) else ""


def _brackets(tokens: list[tuple[str, str]]) -> dict[int, int]:
    partner, opened = {}, []
    for at, (kind, text) in enumerate(tokens):
        if kind != "sign":
            continue
        if text in PAIRS:
            opened.append(at)
        elif text in PAIRS.values():
            if not opened or PAIRS[tokens[opened[-1]][1]] != text:
                raise PromqlError(f"{text} closes nothing")
            start = opened.pop()
            partner[start], partner[at] = at, start
    if opened:
        raise PromqlError(f"{tokens[opened[-1]][1]} is not closed")
    return partner


def _matcher(parts: list[tuple[str, str]]) -> tuple[tuple[str, str, str], list[tuple[str, str]]]:
    kinds = [kind for kind, _ in parts[:3]]
    if kinds != ["name", "sign", "string"] or parts[1][1] not in ("=", "!=", "=~", "!~"):
        raise PromqlError(f"{parts[0][1]!r} does not begin LABEL OPERATOR \"VALUE\"")
    label, operator, value = (text for _, text in parts[:3])
    rest = parts[3:]
    if rest and rest[0][1] != ",":
        raise PromqlError(f"a comma is missing before {rest[0][1]!r}")
    return (label, operator, value[1:-1]), rest[1:]
