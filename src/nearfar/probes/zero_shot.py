"""Zero-shot classification: each record gets the class whose description (or prototype) is nearest by cosine.

        c_k = unit(mean over the prompts of class k of their unit vectors),     argmax_k  cos(x, c_k)

Classes that score the same as the right one count by the chance of the lot.
Kin: `few_shot` learns classes from a handful of records; `class_prompts`, which averages the prompts here, does it for training.
Source: Radford et al. 2021 (arXiv 2103.00020), section 3.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.keys.class_prompts import class_prompts
from nearfar.maths.class_metrics import balanced_accuracy as balanced
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.retrieval import retrieval
from nearfar.probes.shared.inputs import classes as numbered
from nearfar.probes.shared.inputs import known_classes, unit_float32, vector_table

CARD = Card(
    name="zero_shot",
    summary="accuracy of the class whose prompts or prototype are nearest",
    related=("few_shot", "class_prompts", "retrieval", "outcome"),
    papers=("2103.00020",),
)

TOP = 5


def balanced_accuracy(columns: Columns) -> float:
    """The mean over classes of accuracy."""
    return balanced(columns["label"], columns["accuracy"])


METRICS = {"balanced_accuracy": balanced_accuracy}


def zero_shot(vectors: Any, labels: Any, *, prompts: Any, classes: Any = None) -> Outcome:
    """Classify records by descriptions of the classes.

    vectors  [n d]
    labels   [n]: numbers of classes, or names if `classes` are given
    prompts  vectors of one prompt or prototype a class [c d], or of several [c p d], which are averaged
    classes  the names [c] of the classes, in the order of the prompts; without them 0, 1, ...

    Metrics: accuracy (the main one), top_5_accuracy where there are more than five classes, balanced_accuracy. Columns: `accuracy` and
    `top_5_accuracy` (0 to 1 where classes score the same), `label` (a number in facts["classes"]).

    >>> zero_shot([[1.0, 0.1], [0.2, 1.0]], ["cat", "dog"], prompts=[[1.0, 0.0], [0.0, 1.0]], classes=["cat", "dog"]).figures()
    {'accuracy': 1.0, 'balanced_accuracy': 1.0}

    Raises DataError for NaN, labels without a prompt and a single class; UsageError for shapes that do not fit, and names that occur twice.
    """
    table = vector_table(vectors, "vectors")
    centres = _centres(prompts, table.shape[1])
    count = len(centres)
    known = numbered(np.arange(count) if classes is None else classes, "classes")
    if not len(known.number) == len(known.names) == count:
        raise UsageError(
            f"{len(known.names)} different names for the prompts of {count} classes",
            where="classes",
            remedy="give each class one name",
        )
    place = np.argsort(known.number)  # of each sorted name among the prompts
    label = place[known_classes(labels, known.names, "labels", length=len(table))]
    found = retrieval((torch.from_numpy(unit_float32(table)), centres), label)
    columns = {"accuracy": found.recalls(1)} | ({f"top_{TOP}_accuracy": found.recalls(TOP)} if count > TOP else {})
    return Outcome(
        "zero_shot",
        "accuracy",
        "records",
        columns | {"label": label},
        means=tuple(columns),
        metrics=METRICS,
        swapped=("accuracy",),
        facts={"classes": known.names[known.number].tolist()},
    )


def _centres(prompts: Any, width: int) -> Tensor:
    """One unit vector a class [c d]."""
    shape = tuple(np.shape(prompts))
    if len(shape) not in (2, 3):
        raise UsageError(
            f"prompts have shape [c d] or [c p d], not {list(shape)}",
            where="prompts",
            remedy="give one or more a class",
        )
    flat = prompts.reshape(-1, shape[-1]) if hasattr(prompts, "reshape") else np.reshape(prompts, (-1, shape[-1]))
    unit = unit_float32(vector_table(flat, "prompts", width=width))
    return class_prompts(torch.from_numpy(unit).reshape(shape)).vectors
