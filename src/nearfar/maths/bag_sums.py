"""`bag_sums`: each bag's weighted sum of rows of a table, whose gradient costs what the bags hold, not what the table does.

        sum_i  = sum over units m of bag i of  a_m E_{u_m}
        dE_u   = sum over the m with u_m = u of  a_m d_{i(m)}        a bag of the bags' gradients for every unit: the same sum, transposed

torch's `embedding_bag` writes a new gradient as large as the table in every backward pass, mostly zeros. What the static encoder reaches
with this: docs/benchmarks.md.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from nearfar.core.ragged import offsets_of


def bag_sums(
    table: Float[Tensor, "rows d"], ids: Int[Tensor, " m"], amounts: Float[Tensor, " m"], offsets: Int[Tensor, " k"]
) -> Float[Tensor, "n d"]:
    """Sums [n d] of n bags: amounts[offsets[i]:offsets[i + 1]] times the rows of `table` that `ids` names there; zeros of an empty bag.

    offsets  [n + 1], from 0 to m; it and `ids` are of one type

    Only `table` gets a gradient: a dense one. Where the table has a dense gradient already, only the rows that the bags name are added
    to it, so whoever clears that gradient instead of giving it back (`zero_grad(set_to_none=False)`) saves most of the time; asked for by
    `torch.autograd.grad`, it is then sparse.
    Kin: `torch.nn.functional.embedding_bag` with mode="sum" and include_last_offset, which has the same values.

    >>> table = torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]], requires_grad=True)
    >>> sums = bag_sums(table, torch.tensor([0, 1, 1]), torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 2, 3]))
    >>> sums.tolist()
    [[1.0, 2.0], [0.0, 3.0]]
    >>> sums.sum().backward()
    >>> table.grad.tolist()
    [[1.0, 1.0], [5.0, 5.0], [0.0, 0.0]]
    """
    return _BagSums.apply(table, ids, amounts, offsets)


class _BagSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor, amounts: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(table, ids, amounts, offsets)
        return _sums(table, ids, amounts, offsets)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None, None]:
        table, ids, amounts, offsets = ctx.saved_tensors
        given = outer[0].contiguous()
        sorted_ids, order = ids.sort(stable=True)
        rows, often = sorted_ids.unique_consecutive(return_counts=True)
        bag = torch.arange(len(given), device=ids.device).repeat_interleave(offsets.diff(), output_size=len(ids))
        of_rows = _sums(given, bag[order], amounts[order], offsets_of(often))
        if table.grad is not None and not table.grad.is_sparse:
            # What autograd adds to a dense gradient may be sparse.
            return (
                torch.sparse_coo_tensor(rows[None], of_rows, table.shape, is_coalesced=True, check_invariants=False),
                None,
                None,
                None,
            )
        return torch.zeros_like(table).index_copy_(0, rows.long(), of_rows), None, None, None


def _sums(table: Tensor, ids: Tensor, amounts: Tensor, offsets: Tensor) -> Tensor:
    return functional.embedding_bag(
        ids, table, offsets, mode="sum", per_sample_weights=amounts, include_last_offset=True
    )
