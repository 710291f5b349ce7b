"""`Tokens`: the token ids of n texts of unequal length, one text after the other, padded only where they are computed with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nearfar.core.errors import UsageError
from nearfar.core.ragged import Ragged, offsets_of


@dataclass(frozen=True, eq=False)
class Tokens(Ragged):
    """Ids [m] as a `Ragged`; those of text i lie at offsets[i]:offsets[i + 1].

    >>> from nearfar.core.tokens import Tokens
    >>> texts = Tokens.of([[5, 6, 7], [], [8]])
    >>> len(texts), texts.lengths.tolist(), texts.take([2, 0]).ids.tolist()
    (3, [3, 0, 1], [8, 5, 6, 7])
    >>> ids, mask = texts.take([2, 0]).padded(0)
    >>> ids.tolist(), mask.tolist()
    ([[8, 0, 0], [5, 6, 7]], [[True, False, False], [True, True, True]])
    """

    def __post_init__(self) -> None:
        if self.offsets.ndim != 1 or not len(self.offsets) or int(self.offsets[-1]) != len(self.values):
            raise UsageError(
                f"offsets of shape {list(self.offsets.shape)} do not end at the {len(self.values)} ids",
                remedy="make them by Tokens.of(lists)",
            )

    @property
    def ids(self) -> Tensor:
        """[m] the ids of all texts."""
        return self.values

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]]) -> Tokens:
        """Of one list of ids a text."""
        arrays = [np.asarray(text, np.int64) for text in texts]
        flat = np.concatenate([np.zeros(0, np.int64), *arrays])
        return cls(torch.from_numpy(flat), offsets_of(torch.tensor([len(a) for a in arrays], dtype=torch.long)))
