"""Isotropy of a language model's states: one less the mean cosine of two tokens of one text.

        isotropy = 1 - sum over texts, i != j of cos(h_i, h_j) / sum over texts of t (t - 1)

Near 0 all states point one way, and a penalty on their likeness (`contrastive_search`) tells nothing apart; 1 where they are as
often opposite as alike. Pairs are pooled over texts, so that a long text counts for its pairs. Kin: `conformity` and
`partition_isotropy` ask it of vectors of different records, `iso_score` of the variance along all directions.
Source: Su and Collier 2022 (arXiv 2210.14140), who measure the last layer; a layer below is measured by giving its states.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.tensors import directions

CARD = Card(
    name="isotropy",
    summary="one less the mean cosine of the states of two tokens of one text",
    related=("partition_isotropy", "iso_score", "conformity", "contrastive_search"),
    papers=("2210.14140",),
)


def isotropy(states: Sequence[Any]) -> Outcome:
    """Isotropy of states, a table [t d] for each text, without padding.

    A text of one token has no pair and adds nothing; `facts` count such texts.

    >>> import torch
    >>> round(isotropy([torch.eye(3), torch.ones(2, 3)]).figure(), 6)
    0.75

    Raises DataError for no text with two tokens, and for states of zeros or NaN.
    """
    cosines, pairs = np.zeros(len(states)), np.zeros(len(states))
    for number, table in enumerate(states):
        points = directions(table, f"states[{number}]", 1).double()
        t = len(points)
        cosines[number] = float(points.sum(0).square().sum() - points.square().sum())
        pairs[number] = t * (t - 1)
    if not pairs.any():
        raise DataError("no text has two tokens", where="states", remedy="measure longer texts")
    return Outcome(
        "isotropy",
        "isotropy",
        "texts",
        {"cosines": cosines, "pairs": pairs},
        metrics=METRICS,
        swapped=("cosines", "pairs"),
        facts={"tokens": int(sum(len(table) for table in states)), "alone": int((pairs == 0).sum())},
    )


def pooled(columns: Columns) -> float:
    """One less the mean over pairs; NaN where there are none."""
    pairs = columns["pairs"].sum()
    return float(1 - columns["cosines"].sum() / pairs) if pairs else float("nan")


METRICS = {"isotropy": pooled}
