"""Which of a query's candidates become its hard negatives: the semantics of `mine`, apart from where candidates come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch

from nearfar.core.draws import uniform
from nearfar.core.errors import UsageError

# What is counted, in the order in which a candidate is looked at: each is counted once, by the first that drops it.
COUNTS = ("own_positives", "own_text", "above_ranks", "margin_absolute", "margin_relative", "guide", "not_sampled")


class Rules(NamedTuple):
    """The settings of `mine` that choose; see there."""

    per_query: int
    ranks: tuple[int, int]
    margin_absolute: float | None
    margin_relative: float | None
    sampling: Literal["top", "random"]
    seed: int

    def check(self) -> None:
        """UsageError for settings that choose nothing or make no sense."""
        low, high = self.ranks
        if self.per_query < 1:
            raise UsageError(
                f"per_query={self.per_query} asks for nothing", where="per_query", remedy="ask for 1 or more"
            )
        if not 0 <= low < high:
            raise UsageError(
                f"ranks={low},{high} hold no candidate",
                where="ranks",
                remedy="give the first rank, from 0, and one past the last",
            )
        if high - low < self.per_query:
            raise UsageError(
                f"ranks {low} to {high} hold {high - low} candidates, fewer than per_query={self.per_query}",
                where="ranks",
                remedy="widen the ranks, or ask for fewer",
            )
        for name in ("margin_absolute", "margin_relative"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < np.inf:
                raise UsageError(f"{name}={value} makes no sense", where=name, remedy="give a number from 0 up")
        if self.sampling not in ("top", "random"):
            raise UsageError(
                f"sampling={self.sampling!r} is unknown", where="sampling", remedy='choose "top" or "random"'
            )


class Query(NamedTuple):
    """One query: candidates `numbers` [c] by descending `scores` [c]; its positives [p]; the document with its own words, or -1.

    positive_score is the lowest score of its positives, query_id the id of its text.
    """

    numbers: np.ndarray
    scores: np.ndarray
    positives: np.ndarray
    own_text: int
    positive_score: float
    query_id: int


def window(query: Query, rules: Rules, counts: dict[str, int]) -> np.ndarray:
    """Document numbers that ranks and margins leave, by descending score.

    Ranks are counted among documents that may be a negative at all, before any margin.
    """
    positive = np.isin(query.numbers, query.positives)
    own = (query.numbers == query.own_text) & ~positive
    place = np.cumsum(~(positive | own))[positive | own]  # ranks of those that would have stood in the window
    counts["own_positives"] += int(positive[positive | own][place < rules.ranks[1]].sum())
    counts["own_text"] += int(own[positive | own][place < rules.ranks[1]].sum())
    numbers, scores = query.numbers[~(positive | own)], query.scores[~(positive | own)].astype(np.float64)
    low, high = rules.ranks
    counts["above_ranks"] += min(low, len(numbers))
    numbers, scores = numbers[low:high], scores[low:high]
    limits = {
        "margin_absolute": None if rules.margin_absolute is None else query.positive_score - rules.margin_absolute,
        # A share of the score's size: of a negative score, 95 % would be a higher one.
        "margin_relative": None
        if rules.margin_relative is None
        else query.positive_score - rules.margin_relative * abs(query.positive_score),
    }
    for name, limit in limits.items():
        if limit is not None:
            below = scores <= limit
            counts[name] += int((~below).sum())
            numbers, scores = numbers[below], scores[below]
    return numbers


def sampled(
    numbers: np.ndarray, query_id: int, rules: Rules, id_of: Callable[[np.ndarray], np.ndarray], counts: dict[str, int]
) -> np.ndarray:
    """`per_query` of the documents that are left, in their order: the first, or random ones.

    A draw belongs to (seed, query, document), so it does not depend on the chunk, nor on which other documents are left.
    """
    if len(numbers) <= rules.per_query:
        return numbers
    counts["not_sampled"] += len(numbers) - rules.per_query
    if rules.sampling == "top":
        return numbers[: rules.per_query]
    draw = uniform(rules.seed, "mine", query_id, torch.from_numpy(id_of(numbers))).numpy()
    return numbers[np.sort(np.argsort(draw, kind="stable")[: rules.per_query])]
