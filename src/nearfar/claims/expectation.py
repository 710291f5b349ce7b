"""What a claim expects, read from a line: "ours > rival", "a < b < c", "fast = slow", several with commas.

An order of more than two arms is its neighbours: "a < b < c" holds if "a < b" and "b < c" do. Where a claim is about two figures,
a name and a colon say which one is compared: "diversity: ours > greedy, coherence: ours > sampled".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from nearfar.core.errors import UsageError


class Comparison(NamedTuple):
    """Two arms: the first is expected to be "greater" than the second, or "equal" to it; by the claim's metric unless one is named."""

    first: str
    second: str
    kind: Literal["greater", "equal"]
    metric: str = ""

    def __str__(self) -> str:
        named = f"{self.metric}: " if self.metric else ""
        return f"{named}{self.first} {'>' if self.kind == 'greater' else '='} {self.second}"


def comparisons(expect: str, arms: Iterable[str]) -> tuple[Comparison, ...]:
    """The comparisons of a line; greater is always better or not as the claim says: figures are compared as they are.

    >>> [str(c) for c in comparisons("a < b < c, c = d", ["a", "b", "c", "d"])]
    ['b > a', 'c > b', 'c = d']
    >>> [c.metric for c in comparisons("a > b, recall@10: a > b", ["a", "b"])]
    ['', 'recall@10']

    Raises UsageError for an arm that is not there, and for a line that compares nothing.
    """
    known, found = set(arms), []
    for part in expect.split(","):
        metric, _, order = part.rpartition(":")
        words = [word.strip() for word in re.split(r"([<>=])", order)]
        names, signs = words[::2], words[1::2]
        if not signs or not all(names):
            raise UsageError(
                f"{part.strip()!r} compares nothing",
                where="expect",
                remedy='write "ours > rival", "a < b < c" or "a = b"',
            )
        if unknown := [name for name in names if name not in known]:
            raise UsageError(
                f"there is no arm {unknown[0]!r}", where="expect", remedy=f"the arms are {', '.join(sorted(known))}"
            )
        for left, sign, right in zip(names, signs, names[1:], strict=False):
            if sign == "<":
                left, right = right, left
            found.append(Comparison(left, right, "equal" if sign == "=" else "greater", metric.strip()))
    return tuple(found)
