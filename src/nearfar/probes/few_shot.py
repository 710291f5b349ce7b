"""Few-shot episodes: how well new classes are told apart from a handful of records of each.

An episode draws `ways` classes, and of each `shots` records to learn from and `queries` others to classify. With unit vectors z:

        prototypes:  argmax_c  z . unit(mean of the z of class c)
        logistic:    argmax_c  z W + b,   min over W, b of  mean cross-entropy + s / 2 |W|^2

Episode e draws the same records whatever else is asked for, so that two models meet the same episodes. Where classes score the same, a
query counts by the chance of the lot.
Kin: `linear_probe` has all records of a class, `knn` asks neighbours, `zero_shot` has a description instead of records.
Source: Snell et al. 2017 (arXiv 1703.05175) for prototypes and 15 queries a class; Tian et al. 2020 (arXiv 2003.11539) for logistic
regression on unit vectors, whose s is that of scikit-learn's C = 1: 1 / (ways shots). 600 episodes are the usual number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.maths.logistic_regression import logistic_path
from nearfar.probes.outcome import Outcome
from nearfar.probes.shared.episodes import accuracy, drawn, members
from nearfar.probes.shared.inputs import at_least, classes, unit_float32, vector_table

CARD = Card(
    name="few_shot",
    summary="accuracy over episodes of few classes with few records each, by prototypes and logistic regression",
    related=("linear_probe", "knn", "zero_shot", "outcome"),
    papers=("1703.05175", "2003.11539"),
)

HELD = 1 << 22  # numbers of one stack of episodes


def few_shot(
    vectors: Any,
    labels: Any,
    *,
    ways: int = 5,
    shots: int = 5,
    queries: int = 15,
    episodes: int = 600,
    seed: int = 0,
) -> Outcome:
    """Measure accuracy over episodes drawn from labelled records.

    vectors   [n d]; labels [n], whole numbers or strings. Classes of fewer than shots + queries records are left out
    ways      classes of an episode
    shots     records of a class to learn from
    queries   records of a class to classify
    episodes  number of episodes, the units of the outcome

    Metrics: prototype_accuracy (the main one) and logistic_accuracy, both columns, of one episode each.

    >>> y = np.arange(60) % 3
    >>> few_shot(np.eye(3)[y], y, ways=3, shots=1, episodes=4).figures()
    {'prototype_accuracy': 1.0, 'logistic_accuracy': 1.0}

    Raises DataError for NaN and for fewer large enough classes than `ways`; UsageError for shapes that do not fit and numbers below one
    (two ways).
    """
    for value, least, name in (
        (ways, 2, "ways"),
        (shots, 1, "shots"),
        (queries, 1, "queries"),
        (episodes, 1, "episodes"),
    ):
        at_least(value, least, 1 << 31, name, name)
    table = vector_table(vectors, "vectors")
    known = classes(labels, "labels", length=len(table))
    unit = torch.from_numpy(unit_float32(table))
    size = shots + queries
    of = members(known, ways, size)
    answer = np.repeat(np.arange(ways), queries)
    prototype, logistic = np.empty(episodes), np.empty(episodes)
    height = max(1, HELD // (ways * size * unit.shape[1]))
    for start in range(0, episodes, height):
        part = range(start, min(episodes, start + height))
        chosen = unit[torch.stack([drawn(e, of, ways, size, seed) for e in part])]
        support, asked = chosen[:, :, :shots], chosen[:, :, shots:].flatten(1, 2)
        prototype[part.start : part.stop] = accuracy(_by_prototypes(support, asked), answer)
        logistic[part.start : part.stop] = accuracy(_by_logistic(support, asked), answer)
    return Outcome(
        "few_shot",
        "prototype_accuracy",
        "episodes",
        {"prototype_accuracy": prototype, "logistic_accuracy": logistic},
        means=("prototype_accuracy", "logistic_accuracy"),
        facts={
            "ways": ways,
            "shots": shots,
            "queries": queries,
            "seed": seed,
            "classes": [known.names[known.number[int(rows[0])]].item() for rows in of],
            "classes_left_out": len(known.names) - len(of),
        },
    )


def _by_prototypes(support: Tensor, asked: Tensor) -> Tensor:
    """Scores [e q c] of queries [e q d] by class means of the support [e c s d]."""
    return asked @ F.normalize(support.mean(2), dim=-1).mT


def _by_logistic(support: Tensor, asked: Tensor) -> Tensor:
    """Scores [e q c] of queries [e q d] by a classifier trained on the support [e c s d]."""
    episodes, ways, shots, _ = support.shape
    hot = torch.eye(ways).repeat_interleave(shots, 0).expand(episodes, -1, -1)
    ((weights, bias),) = logistic_path(support.flatten(1, 2), hot, [1 / (ways * shots)])
    return asked @ weights + bias[:, None]
