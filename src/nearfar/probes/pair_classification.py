"""Pair classification: whether pairs that belong together score above those that do not (paraphrases, duplicates, entailment).

        AP     = sum over distinct scores t, from high to low, of (recall_t - recall_before) precision_t
        AUROC  = P(a pair that belongs together scores above one that does not) + 1/2 P(equal)
        accuracy, F1 of "score >= t", each at the t that is best on dev pairs

A threshold chosen on the measured pairs flatters, and flatters weak systems most; without dev pairs there is no accuracy and no F1.
AP is the main metric as in MTEB (Muennighoff et al. 2022, arXiv 2210.07316), which however takes thresholds from the test pairs.
Kin: `sts` has grades instead of a yes or no; `retrieval` ranks many candidates for one query.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.maths.rank_correlation import average_ranks
from nearfar.maths.threshold_metrics import auroc as area
from nearfar.maths.threshold_metrics import average_precision, best_accuracy_threshold, best_f1_threshold
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.inputs import pair_scores, zero_one

CARD = Card(
    name="pair_classification",
    summary="average precision of pairs that belong together; accuracy and F1 at thresholds chosen on dev",
    related=("sts", "retrieval", "anomaly", "outcome"),
    papers=("2210.07316",),
)


def ap(columns: Columns) -> float:
    """Average precision."""
    return average_precision(columns["rank"], columns["label"])


def auroc(columns: Columns) -> float:
    """The area under the ROC curve."""
    return area(columns["rank"], columns["label"])


def f1(columns: Columns) -> float:
    """The harmonic mean of precision and recall, 0 where nothing belongs together and nothing was said to."""
    total = columns["label"].sum() + columns["predicted"].sum()
    return float(2 * (columns["label"] * columns["predicted"]).sum() / total) if total else 0.0


METRICS = {"ap": ap, "auroc": auroc, "f1": f1}


def pair_classification(scores: Any, labels: Any, *, dev: tuple[Any, Any] | None = None) -> Outcome:
    """Tell pairs that belong together from others by their scores.

    scores  [n], higher is more similar; or two tables of vectors ([n d], [n d]), whose rows are compared by cosine
    labels  [n], 1 for pairs that belong together, else 0
    dev     scores and labels of other pairs, in the same forms, from which thresholds are chosen: one for accuracy, one for F1

    Metrics: ap (the main one), auroc; with dev also accuracy and f1. Columns: `score`, `rank`, `label`; `accuracy` (0 or 1) and
    `predicted` (for F1).

    >>> found = pair_classification([0.9, 0.8, 0.3, 0.2], [1, 0, 1, 0], dev=([0.7, 0.6, 0.1], [1, 1, 0]))
    >>> {name: round(value, 3) for name, value in found.figures().items()}
    {'ap': 0.833, 'accuracy': 0.5, 'auroc': 0.75, 'f1': 0.5}

    Raises DataError for labels other than 0 and 1, one class only (in dev too) and NaN; UsageError for lengths that differ.
    """
    score = pair_scores(scores, "scores")
    label = zero_one(labels, "labels", length=len(score))
    columns = {"score": score, "rank": average_ranks(score), "label": label}
    if dev is None:
        metrics = {"ap": ap, "auroc": auroc}
        return Outcome("pair_classification", "ap", "pairs", columns, metrics=metrics, swapped=("score", "rank"))
    dev_score = pair_scores(dev[0], "dev[0]")
    dev_label = zero_one(dev[1], "dev[1]", length=len(dev_score))
    at = {
        "accuracy_threshold": best_accuracy_threshold(dev_score, dev_label),
        "f1_threshold": best_f1_threshold(dev_score, dev_label),
    }
    columns["accuracy"] = ((score >= at["accuracy_threshold"]) == (label == 1)).astype(np.float64)
    columns["predicted"] = (score >= at["f1_threshold"]).astype(np.int64)
    return Outcome(
        "pair_classification",
        "ap",
        "pairs",
        columns,
        means=("accuracy",),
        metrics=METRICS,
        swapped=("score", "rank", "accuracy", "predicted"),
        facts=at | {"dev_pairs": len(dev_score)},
    )
