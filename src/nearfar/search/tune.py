"""How two rankings are joined best, chosen on dev queries whose right records are known.

Tried: c of 3, 10, 30 and 60, and weights of the words of 0 to 2 (the nearest count 1), or the words alone. The best mean reciprocal rank
wins; of equal ones the first, and the paper's values come first. Choose on queries that are not those by which the search is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nearfar.core.errors import DataError, UsageError
from nearfar.search.fusion import Fusion, fused
from nearfar.search.searcher import Searcher

TRIED = (
    *(Fusion(c, 1, words) for c in (60, 30, 10, 3) for words in (1, 0.5, 0.25, 2)),
    Fusion(60, 1, 0),
    Fusion(60, 0, 1),
)
DEPTH = 100  # a right record behind this place counts nothing


class Choice(NamedTuple):
    """The fusion chosen, its mean reciprocal rank on the dev queries, and that of every other."""

    fusion: Fusion
    mrr: float
    tried: list[tuple[Fusion, float]]


def tune_fusion(searcher: Searcher, queries: Sequence[str], right: Sequence[Sequence[str]]) -> Choice:
    """Choose how `searcher` joins its rankings, from queries and the keys of the records that answer each; the searcher takes it.

    Errors: UsageError where queries and answers are not as many; DataError for a key that the index has not.
    """
    if len(queries) != len(right) or not queries:
        raise UsageError(
            f"{len(queries)} queries and {len(right)} lists of right records",
            where="queries",
            remedy="give a list for every query",
        )
    slots = [{_slot(searcher, key, number) for key in keys} for number, keys in enumerate(right)]
    index = searcher.index
    near = [hits.rows[0].tolist() if hits else [] for hits in searcher._near(queries, DEPTH, (), alone=False)]
    words = [index.words(text, DEPTH).rows[0].tolist() for text in queries]
    tried = []
    for fusion in TRIED:
        total = 0.0
        for wanted, by_vector, by_word in zip(slots, near, words, strict=True):
            scores = fused(by_vector, by_word, fusion)
            total += _reciprocal(sorted(scores, key=lambda slot: (-scores[slot], slot)), wanted)
        tried.append((fusion, total / len(queries)))
    best, mrr = max(tried, key=lambda pair: pair[1])
    searcher.fusion = best
    return Choice(best, mrr, tried)


def _reciprocal(ranking: list[int], wanted: set[int]) -> float:
    return next((1 / rank for rank, slot in enumerate(ranking, start=1) if slot in wanted), 0.0)


def _slot(searcher: Searcher, key: str, number: int) -> int:
    slot = searcher.index.slot(key)
    if slot is None:
        raise DataError(
            f"the index has no record {key!r}",
            where=f"query {number}",
            remedy="give the keys that the index was built with",
        )
    return slot
