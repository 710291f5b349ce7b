"""Diversity of generated texts: how few of their word sequences come back.

        distinct_n = sum over texts of different n-grams / sum over texts of n-grams
        rep_n      = 1 - distinct_n
        diversity  = distinct_2 distinct_3 distinct_4

What comes back is counted within a text: two texts may say the same. Text written by people has a diversity of 0.9 and more, a loop
one near 0, and random words have 1, so that more is better only beside a measure of sense (`coherence`). A text of fewer than n
tokens has no n-grams and adds nothing. Kin: `coherence`, `isotropy`.
Source: Su and Collier 2022 (arXiv 2210.14140), after Welleck et al. 2019 (arXiv 1908.04319); their code leaves out the last n-gram
of each text and rounds, which this does not.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.probes.outcome import Columns, Outcome

CARD = Card(
    name="diversity",
    summary="share of the n-grams of generated texts that do not come back: diversity, rep-2, rep-3, rep-4",
    related=("coherence", "isotropy", "contrastive_search"),
    papers=("2210.14140", "1908.04319"),
)

SIZES = (2, 3, 4)


def diversity(texts: Sequence[Sequence[Hashable]]) -> Outcome:
    """Diversity and repetition of texts, each a sequence of tokens: words, or ids. Give what was generated, without the prompt.

    >>> found = diversity([["a", "b", "a", "b", "a"], ["a", "b", "c", "d"]])
    >>> {name: round(value, 4) for name, value in found.figures().items()}
    {'diversity': 0.5714, 'rep_2': 0.2857, 'rep_3': 0.2, 'rep_4': 0.0}

    Raises UsageError for a text that is one string; DataError for no text with four tokens.
    """
    columns: dict[str, np.ndarray] = {}
    for number, text in enumerate(texts):
        if isinstance(text, (str, bytes)):
            raise UsageError("a text is one string", where=f"texts[{number}]", remedy="give words: text.split()")
    for n in SIZES:
        grams = [[tuple(text[i : i + n]) for i in range(len(text) - n + 1)] for text in texts]
        columns[f"different_{n}"] = np.array([len(set(g)) for g in grams], dtype=np.float64)
        columns[f"all_{n}"] = np.array([len(g) for g in grams], dtype=np.float64)
    if not columns[f"all_{SIZES[-1]}"].any():
        raise DataError(f"no text has {SIZES[-1]} tokens", where="texts", remedy="generate more of them")
    return Outcome(
        "diversity",
        "diversity",
        "texts",
        columns,
        metrics=METRICS,
        swapped=tuple(columns),
        higher={f"rep_{n}": False for n in SIZES},
    )


def repetition(columns: Columns, n: int) -> float:
    """The share of n-grams that were there before in their text; NaN where there are none."""
    total = columns[f"all_{n}"].sum()
    return float(1 - columns[f"different_{n}"].sum() / total) if total else float("nan")


def pooled(columns: Columns) -> float:
    """The product of what does not come back, over the sizes."""
    return float(np.prod([1 - repetition(columns, n) for n in SIZES]))


METRICS: dict[str, Callable[[Columns], float]] = {
    "diversity": pooled,
    **{f"rep_{n}": partial(repetition, n=n) for n in SIZES},
}
