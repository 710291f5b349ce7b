"""Clustering: whether k-means, which sees no labels, finds the classes.

Spherical k-means (by cosine) is run from several seeds; every figure is the mean over them, so that no lucky start is reported.
`nmi` (the same number as the V-measure), `homogeneity`, `completeness`, `ari` and `purity` are defined in `maths/cluster_metrics.py`.
Only `ari` is 0 by chance.
Kin: `knn` asks for classes among neighbours only; the column `clusters` uses the same k-means in training.
V-measure as the main figure and the number of classes as k: MTEB (Muennighoff et al. 2022, arXiv 2210.07316). Five seeds are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from nearfar.core.card import Card
from nearfar.maths.cluster_metrics import Agreement, agreement
from nearfar.maths.nearest_chunked import nearest_chunked
from nearfar.maths.spherical_k_means import spherical_k_means
from nearfar.probes.outcome import Columns, Metric, Outcome
from nearfar.probes.shared.inputs import at_least, classes, unit_float32, vector_table

CARD = Card(
    name="clustering",
    summary="agreement of k-means clusters with classes, averaged over seeds: NMI, ARI, purity",
    related=("clusters", "knn", "outcome"),
    papers=("2210.07316",),
)


def _mean_of(figure: str) -> Metric:
    def metric(columns: Columns) -> float:
        found = [agreement(columns["label"], cluster) for cluster in columns["cluster"].T]
        return float(np.mean([getattr(one, figure) for one in found]))

    return metric


METRICS: dict[str, Callable[[Columns], float]] = {figure: _mean_of(figure) for figure in Agreement._fields}


def clustering(vectors: Any, labels: Any, *, k: int = 0, seeds: int = 5, iterations: int = 50) -> Outcome:
    """Cluster records without their labels, and compare.

    vectors     [n d]; labels [n], whole numbers or strings
    k           clusters; 0: as many as there are classes
    seeds       starts of k-means, over which every figure is averaged
    iterations  of each

    Metrics: nmi (the main one), homogeneity, completeness, ari, purity. Columns: `label` (the number of the class in
    facts["classes"]), `cluster` [n seeds].

    >>> y = np.arange(40) % 2
    >>> clustering(np.eye(2)[y], y).figures()
    {'nmi': 1.0, 'homogeneity': 1.0, 'completeness': 1.0, 'ari': 1.0, 'purity': 1.0}

    Raises DataError for NaN and one class only; UsageError for shapes that do not fit, and more clusters than records.
    """
    table = vector_table(vectors, "vectors")
    known = classes(labels, "labels", length=len(table))
    k = k or len(known.names)
    at_least(k, 1, len(table), "k", "clusters")
    at_least(seeds, 1, 1000, "seeds", "seeds")
    at_least(iterations, 0, 1 << 31, "iterations", "iterations")
    unit = unit_float32(table)
    ids, cluster = torch.arange(len(unit)), np.empty((len(unit), seeds), dtype=np.int64)
    for seed in range(seeds):
        centres = spherical_k_means(torch.from_numpy(unit), k, ids, seed=seed, iterations=iterations)
        cluster[:, seed] = nearest_chunked(unit, centres.numpy(), 1)[0][:, 0]
    return Outcome(
        "clustering",
        "nmi",
        "records",
        {"label": known.number, "cluster": cluster},
        metrics=METRICS,
        facts={"k": k, "seeds": seeds} | known.facts(),
    )
