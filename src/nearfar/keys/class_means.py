"""Class means: the keys of each class become one key, their mean direction; with labels, as a classifier has them.

        c_y = unit( sum of unit(k_j) over keys j of label y )

Where every record brings the text of its class as its key, a plain contrast counts a class as often as it has records; this counts
it once, so that `nf.info_nce` under `nf.paired("label")` is softmax classification over the classes of the batch. Equal texts of a class stay what
they are, several templates are averaged as zero-shot classifiers do, and of examples the mean is that of prototypical networks. With
gradient. A key whose label is negative (unknown) is in no class.
Kin: `class_prompts` does the same to texts sorted by class already; `prototypes` are learned; `class_centres` are a column of all records.
Source: Radford et al. 2021 (arXiv 2103.00020), section 3.1.4, for templates; Snell et al. 2017 (arXiv 1703.05175) for examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.predicate import read
from nearfar.core.rows import Rows

CARD = Card(
    name="class_means",
    summary="one key a class: the mean direction of its keys in the batch",
    needs_columns=("label",),
    related=("class_prompts", "prototypes", "class_centres", "paired"),
)


@dataclass(frozen=True)
class ClassMeans:
    """The `keys` stage that `class_means` makes."""

    column: str = "label"

    def __call__(self, queries: Rows, keys: Rows) -> Rows:
        """One replicated row a class, by rising label [c d]; its only column is that of the labels."""
        label = read(keys.columns, self.column, "keys")
        if keys.vectors.ndim != 2 or label.ndim != 1 or label.is_floating_point():
            raise UsageError(
                f"vectors of shape {list(keys.vectors.shape)} with labels {label.dtype} of {list(label.shape)}",
                where=f"column {self.column!r}",
                remedy="give one vector and one whole number a row",
            )
        known = label >= 0
        names, place = torch.unique(label[known], return_inverse=True)
        units = F.normalize(keys.vectors[known], dim=1)
        sums = units.new_zeros(len(names), units.shape[1]).index_add(0, place, units)
        return Rows(F.normalize(sums, dim=1), {self.column: names}, replicated=True)


def class_means(column: str = "label") -> ClassMeans:
    """One key for each label in `column` [r] of the keys, in place of them, for `keys=`.

    Raises UsageError, when it is used, for keys without that column, labels that are no whole numbers, and token matrices.

    >>> import torch, nearfar as nf
    >>> x = nf.rows(torch.randn(3, 4), label=[5, 2, 5])
    >>> y = nf.rows(torch.tensor([[2.0, 0], [0, 3], [0, 1]]), label=[5, 2, 5])
    >>> made = nf.class_means()(x, y)
    >>> made.columns["label"].tolist(), made.vectors.round(decimals=2).tolist()
    ([2, 5], [[0.0, 1.0], [0.7099999785423279, 0.7099999785423279]])
    """
    return ClassMeans(column)
