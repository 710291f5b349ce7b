"""`Tokens`: the token ids of n texts of unequal length, one text after the other, padded only where they are computed with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional

from nearfar.core.errors import UsageError


@dataclass(frozen=True, eq=False)
class Tokens:
    """Ids `ids` [m]; those of text i lie at offsets[i]:offsets[i + 1], where `offsets` is [n + 1] int64.

    >>> from nearfar.core.tokens import Tokens
    >>> texts = Tokens.of([[5, 6, 7], [], [8]])
    >>> len(texts), texts.lengths.tolist(), texts.take([2, 0]).ids.tolist()
    (3, [3, 0, 1], [8, 5, 6, 7])
    >>> ids, mask = texts.take([2, 0]).padded(0)
    >>> ids.tolist(), mask.tolist()
    ([[8, 0, 0], [5, 6, 7]], [[True, False, False], [True, True, True]])
    """

    ids: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        if self.offsets.ndim != 1 or not len(self.offsets) or int(self.offsets[-1]) != len(self.ids):
            raise UsageError(
                f"offsets of shape {list(self.offsets.shape)} do not end at the {len(self.ids)} ids",
                remedy="make them by Tokens.of(lists)",
            )

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]]) -> Tokens:
        """Of one list of ids a text."""
        arrays = [np.asarray(text, np.int64) for text in texts]
        lengths = np.array([0, *map(len, arrays)], np.int64)
        flat = np.concatenate([np.zeros(0, np.int64), *arrays])
        return cls(torch.from_numpy(flat), torch.from_numpy(lengths.cumsum()))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int[Tensor, " n"]:
        """Number of tokens of each text."""
        return self.offsets.diff()

    def take(self, index: Any) -> Tokens:
        """The texts at `index` [n] (numbers, an array, a tensor or a slice), in that order."""
        chosen = index if isinstance(index, slice) else torch.as_tensor(index, dtype=torch.long)
        number = torch.arange(len(self))[chosen]  # so that -1 is the last one
        start = self.offsets[number]
        length = self.offsets[number + 1] - start
        offsets = functional.pad(length.cumsum(0), (1, 0))
        place = torch.arange(int(offsets[-1])) + (start - offsets[:-1]).repeat_interleave(length)
        return Tokens(self.ids[place], offsets)

    def padded(
        self, pad: int = 0, device: torch.device | None = None
    ) -> tuple[Int[Tensor, "n t"], Bool[Tensor, "n t"]]:
        """Ids [n t] with `pad` behind each text, t the longest of these (at least 1), and the mask of the real ones."""
        length = self.lengths
        most = max(1, int(length.max())) if len(length) else 1
        mask = torch.arange(most) < length[:, None]
        ids = torch.full(mask.shape, pad, dtype=self.ids.dtype)
        ids[mask] = self.ids
        return ids.to(device), mask.to(device)
