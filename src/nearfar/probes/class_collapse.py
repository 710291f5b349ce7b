"""Class collapse: after training on coarse classes, can the finer ones within them still be told apart?

        accuracy       held-out accuracy of a linear classifier for the subclass, fitted within each superclass
        majority       that of always saying the commonest subclass of the superclass: what a collapsed model allows
        between_share  sum_i |m_sub(i) - m_super(i)|^2 / sum_i |v_i - m_super(i)|^2 of the test vectors

Supervised contrastive training may put all records of a class onto one point. Collapse on the training records does not imply
collapse on others, hence the held-out records. The share is the correlation ratio eta squared: 0 collapsed, 1 all the spread of a superclass is
between its subclasses; without any structure it is (subclasses - superclasses) / (records - superclasses), which `facts` give.
Kin: `feature_suppression` (the same paper's other failure), `tolerance`.
Source: Xue, Joshi, Gan, Chen and Mirzasoleiman 2023 (arXiv 2305.16536) for the probe; the share is ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.inputs import joint_classes
from nearfar.probes.shared.linear_classifier import predictions
from nearfar.probes.shared.tensors import as_array, train_and_test

CARD = Card(
    name="class_collapse",
    summary="whether the subclasses within a trained class can still be told apart",
    related=("feature_suppression", "tolerance"),
    papers=("2305.16536",),
)


def class_collapse(
    train: Any, train_superclass: Any, train_subclass: Any, test: Any, superclass: Any, subclass: Any
) -> Outcome:
    """Figures of test vectors [n d] with their superclass [n] and subclass [n]; classifiers are fitted to `train` [m d].

    Measured are superclasses that have two subclasses among the training records; `facts` count the test records of others. Give the
    vectors that the loss sees, and those before the head as well: collapse differs between them.

    >>> import torch
    >>> x = torch.eye(4).repeat_interleave(5, 0)
    >>> fine = [i // 5 for i in range(20)]; coarse = [f // 2 for f in fine]
    >>> class_collapse(x, coarse, fine, x, coarse, fine).figures()
    {'accuracy': 1.0, 'majority': 0.5, 'between_share': 1.0}

    Raises UsageError for labels or vectors of another shape; DataError where no superclass has two subclasses, a subclass is part of two
    superclasses, and for NaN.
    """
    known, asked = train_and_test(train, test)
    sizes = len(known), len(asked)
    known_coarse, coarse = joint_classes(train_superclass, superclass, sizes, "superclass")
    known_fine, fine = joint_classes(train_subclass, subclass, sizes, "subclass")
    pairs = {
        *zip(known_coarse.tolist(), known_fine.tolist(), strict=True),
        *zip(coarse.tolist(), fine.tolist(), strict=True),
    }
    if len(pairs) != len({sub for _, sub in pairs}):
        raise DataError(
            "a subclass is part of two superclasses", where="subclass", remedy="give it a name of its own in each"
        )
    measured, right, common = (np.zeros(len(asked), bool) for _ in range(3))
    for group in np.unique(coarse):
        mine, theirs = known_coarse == group, coarse == group
        kinds, counts = np.unique(known_fine[mine], return_counts=True)
        if len(kinds) < 2:
            continue
        measured |= theirs
        right[theirs] = predictions(known[mine], known_fine[mine], asked[theirs]) == fine[theirs]
        common[theirs] = fine[theirs] == kinds[counts.argmax()]
    if not measured.any():
        raise DataError(
            "no superclass of the test records has two subclasses among the training records",
            where="train_subclass",
            remedy="give labels that are finer than those trained on",
        )
    broad, narrow, n = coarse[measured], fine[measured], int(measured.sum())
    between, whole = _squares(asked[measured].double(), broad, narrow)
    groups, kinds = len(np.unique(broad)), len(np.unique(narrow))
    return Outcome(
        "class_collapse",
        "accuracy",
        "records",
        {
            "accuracy": right[measured].astype(float),
            "majority": common[measured].astype(float),
            "between": between,
            "whole": whole,
        },
        means=("accuracy", "majority"),
        metrics=METRICS,
        swapped=("accuracy",),
        facts={
            "superclasses": groups,
            "subclasses": kinds,
            "not_measured": len(asked) - n,
            "chance_of_between_share": (kinds - groups) / (n - groups) if n > groups else 1.0,
        },
    )


def between_share(columns: Columns) -> float:
    """Squared distances of subclass means from superclass means, over those of the vectors; 0 where nothing differs."""
    whole = columns["whole"].sum()
    return float(columns["between"].sum() / whole) if whole > 0 else 0.0


METRICS = {"between_share": between_share}


def _squares(vectors: Tensor, coarse: np.ndarray, fine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[n] each: squared distance of a record's subclass mean, and of the record, from its superclass mean."""
    broad, narrow = _means(vectors, coarse), _means(vectors, fine)
    between, whole = (as_array((t - broad).square().sum(1)) for t in (narrow, vectors))
    # of vectors that are equal, means differ by rounding, and so would the shares of a collapsed model
    rounding = 1e-12 * float(vectors.square().sum(1).mean())
    return np.where(whole > rounding, between, 0.0), np.where(whole > rounding, whole, 0.0)


def _means(vectors: Tensor, codes: np.ndarray) -> Tensor:
    """[n d]: for each row the mean of its group."""
    group = torch.from_numpy(np.unique(codes, return_inverse=True)[1])
    size = torch.bincount(group)
    sums = vectors.new_zeros(len(size), vectors.shape[1]).index_add_(0, group, vectors)
    return (sums / size[:, None])[group]
