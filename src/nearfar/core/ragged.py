"""`Ragged`: arrays of unequal length laid end to end, and padded only when a micro-batch of them is embedded.

What is prepared once for a whole batch must not be padded to the longest of all: memory and work would follow the longest record.
Kept end to end, any records are taken out at no more than their own size, and the padding is that of the micro-batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Ragged:
    """n arrays: array i is values[offsets[i]:offsets[i + 1]].

    values   [m ...], all steps of all arrays
    offsets  [n + 1] int64, rising from 0 to m

    >>> both = ragged([torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0])])
    >>> len(both), both.lengths.tolist(), both.take([1]).values.tolist()
    (2, [3, 1], [4.0])
    >>> values, mask = both.padded()
    >>> values.tolist(), mask.tolist()
    ([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]], [[True, True, True], [True, False, False]])
    """

    values: Tensor
    offsets: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """[n] int64."""
        return self.offsets.diff()

    def take(self, index: Any) -> Ragged:
        """The arrays at `index` (a slice, or [n] numbers), in that order."""
        if not isinstance(index, slice):
            index = torch.as_tensor(index, dtype=torch.long, device=self.offsets.device)
        start, length = self.offsets[:-1][index], self.lengths[index]
        offsets = functional.pad(length.cumsum(0), (1, 0))
        shift = (start - offsets[:-1]).repeat_interleave(length)
        return Ragged(self.values[torch.arange(len(shift), device=shift.device) + shift], offsets)

    def to(self, device: torch.device | str) -> Ragged:
        """The same arrays on a device."""
        return Ragged(self.values.to(device), self.offsets.to(device))

    def padded(self) -> tuple[Tensor, Tensor]:
        """Values [n t ...], zeros after the end of each, and the mask [n t] of what is real; t is the longest of these, at least 1."""
        length = self.lengths
        longest = max(1, int(length.max())) if len(self) else 1
        mask = torch.arange(longest, device=length.device) < length[:, None]
        values = self.values.new_zeros(len(self), longest, *self.values.shape[1:])
        values[mask] = self.values
        return values, mask


def ragged(arrays: Sequence[Tensor]) -> Ragged:
    """Tensors [t_i ...], equal but for their length, as one `Ragged`; of no arrays at all the values have shape [0]."""
    lengths = torch.tensor([len(a) for a in arrays], dtype=torch.long)
    values = torch.cat(list(arrays)) if len(arrays) else torch.zeros(0)
    return Ragged(values, functional.pad(lengths.cumsum(0), (1, 0)))
