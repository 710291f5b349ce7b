"""Transported prototypes (OpTA): few-shot episodes in which the prototypes are moved to where the queries are, by optimal transport.

Of one or a few records a class the mean is biased: it lies where these happened to lie. The queries together say where the classes are:

        Q = Sinkhorn( - |x_q - p_c|^2 / max / epsilon ),   rows sum to one, every class gets equally many queries
        p_c <- sum_q Q_qc x_q / sum_q Q_qc                 `passes` times;  then argmax_c x_q . unit(p_c)

It is transductive: a query's answer depends on the other queries; and it takes for granted that they are of all classes equally.
So two figures stand beside it: the same episodes by soft k-means, which looks at the queries too but supposes no shares, and transport
with uneven queries, of which the first class of an episode has all and the last `fewest`.
Kin: `few_shot` draws the same episodes and looks at no other query.
Source: Poulakakis-Daktylidis and Jamali-Rad 2024 (arXiv 2402.02444), as a brief of it tells: five passes with one record a class, epsilon
0.05. They train a logistic regression on the moved prototypes; of one vector a class that is nearly the nearest. Soft k-means as in Ren et al.
2018 (arXiv 1803.00676), from memory; its temperature of 0.1 on cosines is ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.maths.sinkhorn import sinkhorn
from nearfar.probes.outcome import Outcome
from nearfar.probes.shared.episodes import accuracy, drawn, members
from nearfar.probes.shared.inputs import at_least, classes, unit_float32, vector_table

CARD = Card(
    name="transported_prototypes",
    summary="few-shot accuracy with prototypes moved onto the queries by optimal transport, beside soft k-means",
    related=("few_shot", "outcome"),
    papers=("2402.02444",),
)

TEMPERATURE = 0.1  # of soft k-means
ITERATIONS = 10  # of Sinkhorn's balancing


def transported_prototypes(
    vectors: Any,
    labels: Any,
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    fewest: int = 3,
    passes: int = 5,
    epsilon: float = 0.05,
    episodes: int = 600,
    seed: int = 0,
) -> Outcome:
    """Measure accuracy over episodes drawn from labelled records.

    vectors   [n d]; labels [n], whole numbers or strings. Classes of fewer than shots + queries records are left out
    fewest    queries of the last class where they are uneven, at most `queries`; those between have numbers between
    passes    times that the prototypes are moved
    epsilon   a small one moves each prototype to its nearest queries alone

    Metrics, all columns of one episode each: transported_accuracy (the main one), prototype_accuracy without transport,
    soft_k_means_accuracy, and uneven_accuracy, of transport with uneven queries.

    >>> y = np.arange(60) % 3
    >>> found = transported_prototypes(np.eye(3)[y], y, ways=3, episodes=4).figures()
    >>> found["transported_accuracy"], found["uneven_accuracy"]
    (1.0, 1.0)

    Raises DataError for NaN and for fewer large enough classes than `ways`; UsageError for shapes that do not fit and numbers that make
    no sense.
    """
    for value, least, name in (
        (ways, 2, "ways"),
        (shots, 1, "shots"),
        (queries, 1, "queries"),
        (fewest, 1, "fewest"),
        (passes, 1, "passes"),
        (episodes, 1, "episodes"),
    ):
        at_least(value, least, 1 << 31, name, name)
    if fewest > queries or not epsilon > 0:
        raise UsageError(
            f"{fewest} of {queries} queries, epsilon {epsilon}",
            remedy="ask for no more queries than there are, epsilon above zero",
        )
    table = vector_table(vectors, "vectors")
    known = classes(labels, "labels", length=len(table))
    unit = torch.from_numpy(unit_float32(table))
    of = members(known, ways, shots + queries)
    answer = np.repeat(np.arange(ways), queries)
    kept = np.linspace(queries, fewest, ways).round()
    uneven = np.flatnonzero(np.tile(np.arange(queries), ways) < np.repeat(kept, queries))
    columns = {
        name: np.empty(episodes)
        for name in ("transported_accuracy", "prototype_accuracy", "soft_k_means_accuracy", "uneven_accuracy")
    }
    for e in range(episodes):
        chosen = unit[drawn(e, of, ways, shots + queries, seed)]
        start, asked = chosen[:, :shots].mean(1), chosen[:, shots:].flatten(0, 1)
        some = asked[uneven]
        made = {
            "transported_accuracy": (asked, transported(start, asked, passes, epsilon), answer),
            "prototype_accuracy": (asked, start, answer),
            "soft_k_means_accuracy": (asked, soft_k_means(start, asked, shots, passes), answer),
            "uneven_accuracy": (some, transported(start, some, passes, epsilon), answer[uneven]),
        }
        for name, (x, prototypes, right) in made.items():
            columns[name][e] = accuracy((x @ F.normalize(prototypes, dim=1).T)[None], right)[0]
    return Outcome(
        "transported_prototypes",
        "transported_accuracy",
        "episodes",
        columns,
        means=tuple(columns),
        facts={"ways": ways, "shots": shots, "queries": queries, "passes": passes, "epsilon": epsilon, "seed": seed},
    )


def transported(prototypes: Tensor, asked: Tensor, passes: int, epsilon: float) -> Tensor:
    """Prototypes [c d] moved onto queries [q d], each getting an equal share of them."""
    for _ in range(passes):
        cost = torch.cdist(asked, prototypes).square()
        shares = sinkhorn(-cost / cost.max().clamp_min(1e-12), epsilon, ITERATIONS)
        prototypes = shares.T @ asked / shares.sum(0)[:, None]
    return prototypes


def soft_k_means(prototypes: Tensor, asked: Tensor, shots: int, passes: int) -> Tensor:
    """Prototypes [c d] as means of their `shots` records and of all queries [q d], by how likely these are theirs."""
    start = prototypes
    for _ in range(passes):
        likely = torch.softmax(asked @ F.normalize(prototypes, dim=1).T / TEMPERATURE, 1)
        prototypes = (shots * start + likely.T @ asked) / (shots + likely.sum(0)[:, None])
    return prototypes
