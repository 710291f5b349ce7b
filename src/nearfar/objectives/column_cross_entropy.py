"""Column cross-entropy: a linear classifier on the encoder's vectors should tell what a column says of each row. A local term.

        l_i = - log softmax( W f_i + b )_c(i)        f the vectors before any head, c(i) the class in the column

Where a piece was cut from, which of several rotations a picture has, or a class that is known: what a contrast alone may forget. The
classifier is the term's own and is thrown away after the training. Rows with a negative entry (unknown) have no loss.
Kin: `prototypes` with `info_nce` is a classifier on cosines that competes in the contrast; `next_item_cross_entropy` has the encoder's
own table for its classes.
Source: the place of a piece in its picture, Chen et al. 2021 (arXiv 2104.00323), with the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.outputs import Outputs
from nearfar.core.predicate import read
from nearfar.objectives.composed import Local

CARD = Card(
    name="column_cross_entropy",
    summary="a linear classifier on the encoder's vectors should tell a column; a local term",
    related=("prototypes", "next_item_cross_entropy", "montage_network"),
)


class ColumnCrossEntropy(nn.Module):
    """The loss and the classifier that it learns."""

    def __init__(self, features: int, classes: int, column: str) -> None:
        super().__init__()
        self.linear, self.column = nn.Linear(features, classes), column

    def forward(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Sum of the losses, and of how many rows."""
        label = read(outputs.rows.columns, self.column, "rows").long()
        known = label >= 0
        if len(label) and int(label.max()) >= self.linear.out_features:
            raise DataError(
                f"class {int(label.max())}, and the classifier has {self.linear.out_features}",
                where=f"column {self.column!r}",
                remedy=f"column_cross_entropy(classes={int(label.max()) + 1})",
            )
        scores = self.linear(outputs.features[known])
        return functional.cross_entropy(scores, label[known], reduction="sum"), known.sum()


def column_cross_entropy(
    *,
    classes: int,
    column: str = "label",
    features: int | None = None,
    stream: str = "x",
    tower: str = "encoder",
    towers: Mapping[str, Any] | None = None,
) -> Local:
    """The term on the rows of a stream: `column` holds whole numbers from 0 to classes - 1, or below zero for unknown.

    features  length of the encoder's vectors; in a recipe that of its tower `tower`

    Raises UsageError for sizes that are below one or not known, and, when it is computed, DataError for a class beyond the last.

    >>> import nearfar as nf
    >>> nf.column_cross_entropy(classes=4, features=16).stream
    'x'
    """
    if features is None and towers is not None and tower in towers:
        features = int(towers[tower].dimension)
    if features is None or min(features, classes) < 1:
        raise UsageError(
            f"a classifier of {features} numbers into {classes} classes",
            where="column_cross_entropy",
            remedy="give one of each at least",
        )
    return Local(ColumnCrossEntropy(features, classes, column), stream)
