"""`Ragged`: arrays of unequal length laid end to end, and padded only when a micro-batch of them is embedded.

What is prepared once for a whole batch must not be padded to the longest of all: memory and work would follow the longest record.
Kept end to end, any records are taken out at no more than their own size, and the padding is that of the micro-batch.
`taken` and `offsets_of` are the arithmetic of it, for whatever else lies end to end: bags of units, the nodes of graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional


def offsets_of(lengths: Int[Tensor, " n"]) -> Int[Tensor, " m"]:
    """[n + 1] where each of n arrays that lie end to end begins, and the end of the last.

    >>> offsets_of(torch.tensor([3, 0, 1])).tolist()
    [0, 3, 3, 4]
    """
    return functional.pad(lengths.cumsum(0), (1, 0))


def taken(offsets: Int[Tensor, " m"], index: Any) -> tuple[Int[Tensor, " items"], Int[Tensor, " k"]]:
    """The places of the items of the arrays at `index`, one array after the other, and the offsets that these then have.

    index  a slice, or numbers of arrays, of which negative ones count from the end

    >>> places, offsets = taken(torch.tensor([0, 3, 3, 4]), [-1, 0])
    >>> places.tolist(), offsets.tolist()
    ([3, 0, 1, 2], [0, 1, 4])
    """
    chosen = index if isinstance(index, slice) else np.asarray(torch.as_tensor(index, dtype=torch.long).cpu())
    # In numpy, whose calls cost less at these sizes: all batches of the static encoder are gathered by this.
    at = offsets.cpu().numpy()
    start, stop = at[:-1][chosen], at[1:][chosen]
    made = np.concatenate([[0], (stop - start).cumsum()])
    places = np.repeat(start - made[:-1], stop - start)
    places += np.arange(len(places))
    return torch.from_numpy(places).to(offsets.device), torch.from_numpy(made).to(offsets.device)


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
    def lengths(self) -> Int[Tensor, " n"]:
        """The number of steps of each array."""
        return self.offsets.diff()

    def take(self, index: Any) -> Self:
        """The arrays at `index` (a slice, or [n] numbers), in that order."""
        places, offsets = taken(self.offsets, index)
        return replace(self, values=self.values.index_select(0, places), offsets=offsets)

    def to(self, device: torch.device | str) -> Self:
        """The same arrays on a device."""
        return replace(self, values=self.values.to(device), offsets=self.offsets.to(device))

    def padded(self, fill: float = 0, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Values [n t ...] with `fill` after the end of each, and the mask [n t] of what is real; t is the longest of these, at least 1."""
        length = self.lengths
        longest = max(1, int(length.max())) if len(self) else 1
        mask = torch.arange(longest, device=length.device) < length[:, None]
        values = self.values.new_full((len(self), longest, *self.values.shape[1:]), fill)
        values[mask] = self.values
        return values.to(device), mask.to(device)


def ragged(arrays: Sequence[Tensor]) -> Ragged:
    """Tensors [t_i ...], equal but for their length, as one `Ragged`; of no arrays at all the values have shape [0]."""
    lengths = torch.tensor([len(a) for a in arrays], dtype=torch.long)
    values = torch.cat(list(arrays)) if len(arrays) else torch.zeros(0)
    return Ragged(values, offsets_of(lengths))
