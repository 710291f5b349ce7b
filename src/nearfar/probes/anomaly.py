"""Anomaly detection: whether records unlike the normal ones are found, by a score or by their distance to normal vectors.

        score(x) = 1 - cos(x, its k-th nearest normal vector)
        AUROC    = P(an anomaly scores above a normal record) + 1/2 P(equal)
        AP       = sum over distinct scores t, from high to low, of (recall_t - recall_before) precision_t
        FPR95    = share of normal records called anomalous at the highest threshold that finds 95 % of the anomalies

Anomalies are the positives everywhere; work on out-of-distribution data often takes the normal records for that, which changes AP and FPR95.
Kin: `pair_classification` tells pairs apart by a score and the same areas; `knn` has classes.
Source: Sun et al. 2022 (arXiv 2204.06507) for the k-th neighbour of unit vectors; they tune k, here it is 1 unless given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.maths.nearest_chunked import nearest_chunked
from nearfar.maths.rank_correlation import average_ranks
from nearfar.maths.threshold_metrics import auroc as area
from nearfar.maths.threshold_metrics import average_precision, fpr_at_tpr
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.inputs import at_least, unit_float32, value_column, vector_table, zero_one

CARD = Card(
    name="anomaly",
    summary="AUROC, AP and FPR at 95 % TPR of anomalies, by a score or the distance to normal vectors",
    related=("pair_classification", "knn", "outcome"),
    papers=("2204.06507",),
)


def auroc(columns: Columns) -> float:
    """The area under the ROC curve."""
    return area(columns["rank"], columns["anomalous"])


def ap(columns: Columns) -> float:
    """Average precision."""
    return average_precision(columns["rank"], columns["anomalous"])


def fpr95(columns: Columns) -> float:
    """The false positive rate at a true positive rate of 95 %."""
    return fpr_at_tpr(columns["rank"], columns["anomalous"], 0.95)


METRICS = {"auroc": auroc, "ap": ap, "fpr95": fpr95}


def anomaly(records: Any, anomalous: Any, *, normal: Any = None, k: int = 1) -> Outcome:
    """Tell anomalies from normal records.

    records    vectors [n d] if `normal` is given, else their scores [n], higher is more anomalous
    anomalous  [n], 1 for anomalies, else 0
    normal     vectors [m d] of other records, known to be normal
    k          which of the nearest normal vectors says how far a record is

    Metrics: auroc (the main one), ap, fpr95 (lower is better). Columns: `score`, `rank`, `anomalous`.

    >>> anomaly([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]], [0, 0, 1], normal=[[1.0, 0.05], [1.0, -0.1]]).figures()
    {'auroc': 1.0, 'ap': 1.0, 'fpr95': 0.0}

    Raises DataError for labels other than 0 and 1, one class only and NaN; UsageError for shapes that do not fit, and a k beyond the number
    of normal vectors.
    """
    if normal is None:
        score, facts = value_column(records, "records"), {}
    else:
        table = vector_table(records, "records")
        base = vector_table(normal, "normal", width=table.shape[1])
        at_least(k, 1, len(base), "k", "neighbours")
        score = 1 - nearest_chunked(unit_float32(table), unit_float32(base), k)[1][:, -1].astype(np.float64)
        facts = {"k": k, "normal": len(base)}
    columns = {
        "score": score,
        "rank": average_ranks(score),
        "anomalous": zero_one(anomalous, "anomalous", length=len(score)),
    }
    return Outcome(
        "anomaly",
        "auroc",
        "records",
        columns,
        metrics=METRICS,
        swapped=("score", "rank"),
        higher={"fpr95": False},
        facts=facts,
    )
