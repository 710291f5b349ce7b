"""Coherence of generated texts: how likely another language model holds each continuation, given its prompt.

        coherence = mean over texts of  1/n sum_i log p(y_i | prompt, y_1 .. y_{i-1})

By a model that did not generate them: under its own, whatever searches for likely text wins, loops first of all. So it is read beside
`diversity`: of two ways to generate that are equally diverse the more coherent one is better.
Source: Su and Collier 2022 (arXiv 2210.14140), by a large OPT; the log-probabilities are taken as given here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.probes.outcome import Outcome

CARD = Card(
    name="coherence",
    summary="mean log-probability of continuations under a language model that did not write them",
    related=("diversity", "isotropy", "contrastive_search"),
    papers=("2210.14140",),
)


def coherence(log_probabilities: Sequence[Any]) -> Outcome:
    """Mean log-probability a token, of arrays [n] for each text: those of its continuation's tokens, the prompt's left out.

    >>> coherence([[-1.0, -3.0], [-4.0]]).figures()
    {'coherence': -3.0}

    Raises DataError for a text without a token, for NaN or infinity, and for a value above zero, which no log-probability has.
    """
    means = np.empty(len(log_probabilities))
    for number, given in enumerate(log_probabilities):
        values = np.asarray(given, dtype=np.float64)
        if not len(values):
            raise DataError("a continuation has no token", where=f"text {number}", remedy="leave it out, and say so")
        if not np.isfinite(values).all() or (values > 1e-6).any():
            raise DataError(
                "log-probabilities are finite and not above zero",
                where=f"text {number}",
                remedy="give log p of each token, as of log_softmax",
            )
        means[number] = values.mean()
    return Outcome("coherence", "coherence", "texts", {"coherence": means}, means=("coherence",))
