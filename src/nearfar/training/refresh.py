"""Refresh: embed all training records with what the towers are now, and compute columns of it: clusters, neighbours, negatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows
from nearfar.core.stage import Refresh
from nearfar.execution.ranks import Ranks
from nearfar.maths.pooling import mean
from nearfar.training.batches import Batches, Source
from nearfar.training.options import made

CHUNK = 1024  # records embedded at once


@torch.no_grad()
def refreshed(due: Sequence[Refresh], batches: Batches, seed: int, ranks: Ranks | None = None) -> dict[str, np.ndarray]:
    """The columns that some refreshes write, by name; every rank embeds a share and computes the same columns.

    Vectors are those that are contrasted (head included), of unit length, of records without views. A refresh sees the columns that
    those before it in the list have written.
    """
    vectors = {
        source.feed.name: embedded(source, batches, ranks)
        for source in batches.sources
        if source.feed.through == "online"
    }
    columns = batches.records.columns
    written = {}
    for refresh in due:
        column = np.asarray(made(refresh.by, "columns", refresh.name)(vectors, {**columns, **written}, seed))
        if len(column) != len(batches.records) or column.dtype.kind not in "iuf":
            raise UsageError(
                f"the column {refresh.write!r} has shape {list(column.shape)} of {column.dtype} for {len(batches.records):,} records",
                where=refresh.name,
                remedy="return one number, or one row of numbers, a record",
            )
        written[refresh.write] = column
    return written


@torch.no_grad()
def embedded(source: Source, batches: Batches, ranks: Ranks | None = None) -> np.ndarray:
    """Vectors [n d] float32 of unit length of all records in one stream, without their views."""
    path, n = source.path, len(batches.records)
    share = slice(0, n) if ranks is None else ranks.share(n)
    training = path.training
    path.eval()
    made_of: list[torch.Tensor] = []
    for first in range(share.start, share.stop, CHUNK) or [share.start]:
        # A rank without a share embeds a record in vain, to learn the dimension.
        last = max(min(first + CHUNK, share.stop), first + 1)
        items = batches.records.many(source.feed.field, np.arange(first, last) % n)
        table = path.plain(source.prepare(items))
        vectors = table.vectors
        if vectors.ndim == 3:  # of a token matrix the mean: clusters and neighbours need one vector
            mask = (
                torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)
                if table.mask is None
                else table.mask
            )
            vectors = mean(F.normalize(vectors, dim=-1), mask.bool())
        made_of.append(F.normalize(vectors.float(), dim=-1).cpu())
    path.train(training)
    together = Rows(torch.cat(made_of)[: share.stop - share.start])
    if ranks is not None:
        together = ranks.gather({"vectors": together})["vectors"].rows
    return together.vectors.numpy()
