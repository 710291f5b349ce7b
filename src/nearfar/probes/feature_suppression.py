"""Feature suppression: does an easy feature in the data keep a model from learning the hard one?

        with_easy     held-out accuracy of a linear classifier for the hard feature, on the model trained where the easy one is there
        without_easy  the same, on the model trained (same data, method, steps) where it is not
        suppression   without_easy - with_easy, record by record

The easy feature is one that augmentation leaves intact: random bits in a channel, a colour, a source of the data. It has two causes,
which a sweep tells apart: too few dimensions, which a larger embedding cures, and views that vary too little, which it does not. Read the
layer that the loss sees as well as the one before the head: suppression hides there.
Kin: `class_collapse` (the same paper's other failure).
Source: Xue, Joshi, Gan, Chen and Mirzasoleiman 2023 (arXiv 2305.16536); the setting with random bits is of Chen, Luo and Li 2021
(arXiv 2011.02803).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.probes.outcome import Outcome
from nearfar.probes.shared.inputs import joint_classes
from nearfar.probes.shared.linear_classifier import predictions
from nearfar.probes.shared.tensors import train_and_test

CARD = Card(
    name="feature_suppression",
    summary="how much of a hard feature an easy one keeps a model from learning",
    related=("class_collapse",),
    papers=("2305.16536", "2011.02803"),
)


def feature_suppression(
    with_easy: tuple[Any, Any], without_easy: tuple[Any, Any], train_labels: Any, labels: Any
) -> Outcome:
    """Suppression of the hard feature, whose `train_labels` [m] and `labels` [n] those of the same records for both models are.

    with_easy, without_easy   (training vectors [m d], test vectors [n d]) of either model; d may differ between models

    >>> import torch
    >>> hard = torch.tensor([[1.0], [-1.0]]).repeat(10, 1)
    >>> seen, hidden = hard, torch.zeros(20, 1)
    >>> feature_suppression((hidden, hidden), (seen, seen), [0, 1] * 10, [0, 1] * 10).figures()
    {'suppression': 0.5, 'with_easy': 0.5, 'without_easy': 1.0}

    Raises UsageError for tables of different length or width; DataError for a single class among the training records, and for NaN.
    """
    right = {}
    for name, pair in (("with_easy", with_easy), ("without_easy", without_easy)):
        train, test = train_and_test(*pair, f"{name}: ")
        known, asked = joint_classes(train_labels, labels, (len(train), len(test)))
        if len(np.unique(known)) < 2:
            raise DataError("the training records have one class", where="train_labels", remedy="give two or more")
        right[name] = (predictions(train, known, test) == asked).astype(float)
    columns = {"suppression": right["without_easy"] - right["with_easy"], **right}
    return Outcome(
        "feature_suppression",
        "suppression",
        "records",
        columns,
        means=tuple(columns),
        higher={"suppression": False},
        facts={"records": len(right["with_easy"])},
    )
