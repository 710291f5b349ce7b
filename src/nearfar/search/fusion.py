"""Two rankings of an index joined: by vector and by word.

        score = near / (c + rank among the nearest) + words / (c + rank among those that hold the words)

A record that is in one list only has one term. `maths/fusion` joins whole matrices of scores, ties shared; here are the heads of two lists.
Source: reciprocal rank fusion, Cormack, Clarke and Buettcher 2009; c = 60 and equal weights are theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nearfar.core.errors import DataError


@dataclass(frozen=True)
class Fusion:
    """How two rankings are joined: the constant c, and what each counts for. 60, 1 and 1 are the paper's."""

    c: float = 60.0
    near: float = 1.0
    words: float = 1.0

    @classmethod
    def of(cls, index: Any) -> Fusion:
        """What an index remembers; DataError where that is damaged."""
        told = index.manifest.about.get("fusion")
        if told is None:
            return cls()
        try:
            made = cls(*(float(told[name]) for name in ("c", "near", "words")))
        except (KeyError, TypeError, ValueError):
            made = cls(0.0)
        if not (made.c > 0 and made.near >= 0 and made.words >= 0 and made.near + made.words > 0):
            raise DataError(
                f"this says not how rankings are joined: {told!r}",
                where=str(index.directory),
                remedy="tune it anew, or remove `fusion` from index.json",
            )
        return made


def fused(near: Sequence[int], words: Sequence[int], fusion: Fusion) -> dict[int, float]:
    """{slot: score} of all slots in two rankings.

    >>> scores = fused([1, 2, 3], [3], Fusion())
    >>> max(scores, key=scores.get)
    3
    """
    scores: dict[int, float] = {}
    for weight, ranking in ((fusion.near, near), (fusion.words, words)):
        for rank, slot in enumerate(ranking, start=1):
            scores[slot] = scores.get(slot, 0.0) + weight / (fusion.c + rank)
    return scores
