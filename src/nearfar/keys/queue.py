"""A queue of past keys (MoCo): a first-in-first-out memory whose rows still know whose they are.

Because the queue keeps columns, a stale copy of a record that is in the batch again can be told from a true negative; a queue
of bare vectors cannot. Its rows carry a column `stale`. State moves once a step: `update` after the optimiser, never in
a forward pass.
Source: He et al. 2020 (arXiv 1911.05722); 65,536 keys there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows, cat

CARD = Card(
    name="queue",
    summary="first-in-first-out memory of past keys, with their columns",
    related=("multi_view", "paired"),
)


class Queue(nn.Module):
    """The last `size` keys. Call it as a term's `keys` stage; call `update(keys)` once after each optimiser step."""

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < 1:
            raise UsageError(f"a queue of {size} keys holds nothing", remedy="choose a size of at least one batch")
        self.size = size
        self.stored: dict[str, Tensor] = {}

    def rows(self) -> Rows | None:
        """What is stored, oldest first, or None while nothing is."""
        if not self.stored:
            return None
        columns = {k[1:]: v for k, v in self.stored.items() if k != "vectors"}
        return Rows(self.stored["vectors"], columns)

    def forward(self, queries: Rows, keys: Rows) -> Rows:
        """The batch's keys, then the stored ones: columns as given plus `stale` [k] of bool."""
        fresh = keys.with_columns(stale=torch.zeros(len(keys), dtype=torch.bool))
        past = self.rows()
        return fresh if past is None else cat([fresh, past.with_columns(stale=torch.ones(len(past), dtype=torch.bool))])

    @torch.no_grad()
    def update(self, keys: Rows) -> None:
        """Append the batch's keys (detached, copied) and drop the oldest beyond `size`."""
        past = self.rows()
        table = keys.detach() if past is None else cat([past, keys.detach()])
        table = table.take(slice(max(0, len(table) - self.size), None))
        self.stored = {"vectors": table.vectors.clone()} | {f".{k}": v.clone() for k, v in table.columns.items()}

    def get_extra_state(self) -> dict[str, Tensor]:
        """The stored rows, so that a checkpoint resumes with the same queue."""
        return dict(self.stored)

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `get_extra_state` gave."""
        self.stored = dict(state)


def queue(size: int) -> Queue:
    """A queue of the last `size` keys.

    >>> import torch, nearfar as nf
    >>> memory = nf.queue(4)
    >>> memory.update(nf.rows(torch.eye(3)))
    >>> len(memory(nf.rows(torch.eye(3)), nf.rows(torch.eye(3))))
    6
    """
    return Queue(size)
