"""Rows that belong to no record: noise, centroids and other vectors that were made, as further keys beside those of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.core.rows import Rows


def strangers(vectors: Tensor, like: Rows) -> Rows:
    """Vectors [m d] as rows with the columns of `like`, whose entries equal none of a real row.

    They are not-a-number, -1, or False (0 where there is no sign).

    >>> import nearfar as nf
    >>> strangers(torch.zeros(2, 3), nf.rows(torch.eye(3))).columns["record"].tolist()
    [-1, -1]
    """
    columns = {name: _nothing(column, len(vectors)) for name, column in like.columns.items()}
    return Rows(vectors, columns, replicated=like.replicated)


def _nothing(column: Tensor, rows: int) -> Tensor:
    nothing = torch.nan if column.is_floating_point() else -1 if column.dtype.is_signed else 0
    return column.new_full((rows, *column.shape[1:]), nothing)
