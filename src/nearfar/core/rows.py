"""`Rows`: vectors and the columns that say whose they are. Batches, queues, prototypes and class prompts are all Rows.

A relation reads the columns, a similarity reads the vectors, and nothing else in the library knows an index trick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids


@dataclass(frozen=True, eq=False)
class Rows:
    """Vectors [r d] (or [r t d] with `mask` [r t] of real tokens) and columns, each [r ...].

    `replicated` rows (prototypes, class prompts) are the same on every rank; others are a share of the global batch.
    `numbered` rows have no record ids of their own: their `record` column counts them, and across ranks counts on.
    Columns carry no gradient.
    """

    vectors: Tensor
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Tensor | None = None
    replicated: bool = False
    numbered: bool = False

    def __post_init__(self) -> None:
        if self.vectors.ndim not in (2, 3):
            raise UsageError(
                f"Rows take vectors of shape [r d] or [r t d], not {list(self.vectors.shape)}",
                remedy="reshape them: one row a vector, what belongs together goes into columns",
            )
        if not self.vectors.is_floating_point():
            raise UsageError(
                f"Rows take floating-point vectors, not {self.vectors.dtype}", remedy="call .float() first"
            )
        for name, column in self.columns.items():
            if column.shape[:1] != self.vectors.shape[:1]:  # len() would fix the number of rows of a traced graph
                raise UsageError(
                    f"column {name!r} has {len(column)} entries for {len(self.vectors)} vectors",
                    remedy="give every column one entry a row",
                )

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, index: Tensor | slice) -> Rows:
        """The rows at `index` [n], with their columns."""
        mask = None if self.mask is None else self.mask[index]
        return replace(
            self, vectors=self.vectors[index], columns={k: v[index] for k, v in self.columns.items()}, mask=mask
        )

    def with_vectors(self, vectors: Tensor) -> Rows:
        """The same columns around other vectors."""
        return replace(self, vectors=vectors)

    def with_columns(self, **columns: Any) -> Rows:
        """A copy with further columns (or other values for those it has)."""
        added = {k: column(v, self.vectors.device) for k, v in columns.items()}
        return replace(self, columns={**self.columns, **added}, numbered=self.numbered and "record" not in added)

    def detach(self) -> Rows:
        """The same rows without a gradient."""
        return self.with_vectors(self.vectors.detach())


def rows(vectors: Any, *, mask: Tensor | None = None, replicated: bool = False, **columns: Any) -> Rows:
    """Make `Rows` from a tensor or array [r d] and columns of one entry a row.

    Without a `record` column the row number is the record, so that row i of two tables belong together.
    Strings become 63-bit hashes, equal for equal strings in every process.

    >>> import torch
    >>> import nearfar as nf
    >>> x = nf.rows(torch.eye(2), label=["cat", "dog"])
    >>> sorted(x.columns)
    ['label', 'record']
    """
    if isinstance(vectors, Rows):
        return vectors.with_columns(**columns) if columns else vectors
    vectors = torch.as_tensor(vectors)
    numbered = "record" not in columns
    columns = {"record": torch.arange(len(vectors)), **columns}
    return Rows(vectors, {k: column(v, vectors.device) for k, v in columns.items()}, mask, replicated, numbered)


def column(values: Any, device: torch.device | None = None) -> Tensor:
    """A column as a tensor: numbers as they are, strings as stable 63-bit hashes."""
    if isinstance(values, Tensor):
        return values.detach().to(device) if device is not None else values.detach()
    if not isinstance(values, np.ndarray) and {isinstance(v, str) for v in values} == {True, False}:
        raise DataError("a column mixes strings and other values", remedy="give one kind of value")
    array = np.asarray(values)
    if array.dtype.kind in "US" or (array.dtype == object and all(isinstance(v, str) for v in array)):
        array = string_ids(map(str, array))
    if array.dtype == object:
        raise DataError("a column mixes types or lengths", remedy="give numbers, strings, or equally long lists")
    return torch.as_tensor(array, device=device)


def cat(tables: Sequence[Rows]) -> Rows:
    """One table after the other: a batch and a queue, documents and their hard negatives.

    All must have the same columns; a missing one is an error, never filled with a guess.
    """
    first = tables[0]
    for other in tables[1:]:
        if set(other.columns) != set(first.columns):
            differing = sorted(set(other.columns) ^ set(first.columns))
            raise UsageError(
                f"these rows have different columns: {differing} on one side only",
                remedy="add the column with .with_columns(...)",
            )
    if any(t.replicated != first.replicated for t in tables):
        raise UsageError("sharded and replicated rows cannot be joined", remedy="make a term for each")
    masks = [t.mask for t in tables if t.mask is not None]
    if masks and len(masks) != len(tables):
        raise UsageError("some of these rows have a token mask and some have none", remedy="give a mask to all")
    return Rows(
        torch.cat([t.vectors for t in tables]),
        {k: torch.cat([t.columns[k] for t in tables]) for k in first.columns},
        torch.cat(masks) if masks else None,
        first.replicated,
        all(t.numbered for t in tables),
    )
