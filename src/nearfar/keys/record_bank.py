"""Record bank: one vector for every record, a moving average of what it was embedded as; the whole of it is the keys.

        keys              v_1 ... v_n                                  no gradient, |v_i| = 1
        after each step   v_i <- unit( m v_i + (1 - m) unit(z_i) )     for the records of the batch

A record's own vector is a past look at itself, so that one look a step is enough: under `paired` it is the positive, and all other
records of the data compete, seen lately or not. A record that has not been seen has a vector drawn at random, which belongs to
the record. It takes as much memory as the data have vectors. Kin: `queue` keeps the last keys of the stream, as they were;
`cross_batch_memory` likewise.
Source: Wu et al. 2018 (arXiv 1805.01978), non-parametric instance discrimination; Wang et al. 2020 (arXiv 2010.11694) with the authors' code:
m = 0.5.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.draws import normal
from nearfar.core.errors import UsageError
from nearfar.core.memory import Store
from nearfar.core.rows import Rows, cat

CARD = Card(
    name="record_bank",
    summary="one vector for every record, a moving average over its looks, all of them as keys",
    related=("queue", "cross_batch_memory", "propagated"),
)

KEPT = ("record", "view")  # of the columns: what tells rows apart


class RecordBank(Store):
    """A `keys` stage; call `update(keys)` once after each optimiser step. `rows()` are the vectors, in the order of the records."""

    def __init__(self, momentum: float, size: int, seed: int) -> None:
        if not 0 <= momentum <= 1:
            raise UsageError(
                f"vectors that keep {momentum} of themselves", where="record_bank", remedy="give a share from 0 to 1"
            )
        super().__init__(size)
        self.momentum, self.seed = momentum, seed

    def forward(self, queries: Rows, keys: Rows) -> Rows:
        """The vectors of all records that were seen, and of those of `keys`."""
        return self._with_new(keys)

    @torch.no_grad()
    def update(self, keys: Rows) -> None:
        """Move the vectors of the batch's records; of several rows of one record the mean direction counts."""
        table = self._with_new(keys)
        if len(table) > self.size:
            raise UsageError(
                f"a bank of {self.size:,} records is full", where="record_bank", remedy=f"give it size={2 * self.size}"
            )
        place = torch.searchsorted(table.columns["record"], keys.columns["record"].contiguous())
        sums = torch.zeros_like(table.vectors).index_add_(0, place, _unit(keys.vectors).to(table.vectors.dtype))
        moved = _unit(self.momentum * table.vectors + (1 - self.momentum) * _unit(sums))
        seen = torch.zeros(len(table), dtype=torch.bool, device=place.device).index_fill_(0, place, True)
        vectors = torch.where(seen[:, None], moved, table.vectors)
        self._replace({"vectors": vectors, **{f"column:{name}": v for name, v in table.columns.items()}})

    @torch.no_grad()
    def _with_new(self, keys: Rows) -> Rows:
        """What is stored, and a start for every record of `keys` that is not, in the order of the records."""
        if keys.vectors.ndim != 2 or "record" not in keys.columns:
            raise UsageError(
                "a bank of records takes one vector a row, and their records",
                where="record_bank",
                remedy="nf.rows(vectors, record=...)",
            )
        past = self.rows()
        fresh = replace(keys.detach(), replicated=False, numbered=False)
        fresh = replace(fresh, columns={k: v for k, v in fresh.columns.items() if k in KEPT})
        order = torch.argsort(fresh.columns["record"], stable=True)
        record = fresh.columns["record"][order]
        first = torch.ones_like(record, dtype=torch.bool)
        first[1:] = record[1:] != record[:-1]
        if past is not None:
            first &= ~torch.isin(record, past.columns["record"])
        new = fresh.take(order[first])
        drawn = normal(
            self.seed,
            "record_bank",
            new.columns["record"][:, None],
            torch.arange(new.vectors.shape[1], device=record.device),
        )
        new = new.with_vectors(_unit(drawn).to(past.vectors if past is not None else _unit(new.vectors)))
        table = new if past is None else cat([past, new])
        return table.take(torch.argsort(table.columns["record"], stable=True))


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors.float() if vectors.dtype in (torch.float16, torch.bfloat16) else vectors, dim=1)


def record_bank(*, momentum: float = 0.5, size: int = 10_000_000, seed: int = 0) -> RecordBank:
    """A vector for every record as keys [n d], for `keys=`.

    momentum  the share of itself that a record's vector keeps when the record is seen
    size      records at most, so that ids that are no records are noticed

    Raises UsageError for a momentum that is no share, for token matrices, and for more records than `size`.

    >>> import torch, nearfar as nf
    >>> bank = nf.record_bank(momentum=0.0)
    >>> bank.update(nf.rows(torch.eye(3), record=[7, 2, 9]))
    >>> bank.rows().columns["record"].tolist(), bank.rows().vectors[0].tolist()
    ([2, 7, 9], [0.0, 1.0, 0.0])
    >>> x = nf.rows(torch.randn(2, 3), record=[9, 4])
    >>> len(bank(x, x))
    4
    """
    return RecordBank(momentum, size, seed)
