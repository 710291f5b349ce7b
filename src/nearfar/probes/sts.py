"""Semantic textual similarity: whether the cosines of pairs of sentences are in the order that people gave them.

        spearman = correlation of the ranks of scores and gold,   pearson = correlation of the scores themselves

Spearman's correlation is the main one: a model need not know the scale that people used (Reimers et al. 2016, "Task-oriented intrinsic
evaluation of semantic textual similarity", and MTEB, Muennighoff et al. 2022, arXiv 2210.07316). Scores that are all equal are
correlated with nothing: 0.
Kin: `pair_classification` has a yes or no for each pair, `regression` predicts a value from one vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.maths.rank_correlation import average_ranks
from nearfar.maths.rank_correlation import pearson as pearson_of
from nearfar.maths.rank_correlation import spearman as spearman_of
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.inputs import pair_scores, varied_column

CARD = Card(
    name="sts",
    summary="rank and linear correlation of the scores of pairs with what people said",
    related=("pair_classification", "outcome", "statistics"),
    papers=("2210.07316",),
)


def spearman(columns: Columns) -> float:
    """The correlation of ranks; those of a resample are ranked anew."""
    return spearman_of(columns["rank"], columns["gold"])


def pearson(columns: Columns) -> float:
    """The correlation of scores."""
    return pearson_of(columns["standard"], columns["gold"])


METRICS = {"spearman": spearman, "pearson": pearson}


def sts(scores: Any, gold: Any) -> Outcome:
    """Compare the scores of n pairs with gold scores.

    scores  [n], higher is more similar; or two tables of vectors ([n d], [n d]), whose rows are compared by cosine
    gold    [n], on any scale

    Metrics: spearman (the main one), pearson. Columns: `score`; `rank` and `standard` (mean 0, variance 1), which another system's
    scores are exchanged for in a paired test; `gold`.

    >>> found = sts([0.9, 0.2, 0.3, 0.1], [5, 1, 4, 0])
    >>> {name: round(value, 2) for name, value in found.figures().items()}
    {'spearman': 1.0, 'pearson': 0.84}

    Raises DataError for fewer than three pairs, NaN and gold scores that are all equal; UsageError for lengths that differ.
    """
    score = pair_scores(scores, "scores")
    truth = varied_column(gold, "gold", length=len(score))
    if len(score) < 3:
        raise DataError(
            f"{len(score)} pairs", where="scores", remedy="a correlation needs three or more, better hundreds"
        )
    spread = score.std()
    standard = (score - score.mean()) / spread if spread > 0 else np.zeros(len(score))
    columns = {"score": score, "rank": average_ranks(score), "standard": standard, "gold": truth}
    return Outcome("sts", "spearman", "pairs", columns, metrics=METRICS, swapped=("score", "rank", "standard"))
