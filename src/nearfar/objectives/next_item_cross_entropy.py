"""Next item: a sequence's vector should score the item that really came next above all others. A local term of recommenders.

        l_i = - h_i e_y(i) + log sum_v exp(h_i e_v)        v over all items, y(i) the item that came next

The scores are plain products with the encoder's own table of items, so that what is read and what is foretold share their vectors. Of
a record that is seen several times the first view counts (column `view`, number 0). No contrast of records: it stands beside one.
Kin: `prototypes` with `info_nce` is a softmax over learned vectors that are nobody's input; the probe `next_item` measures it.
Source: the loss of sequential recommenders with a full softmax, as in Qin et al. 2023 (arXiv 2310.14318); Kang and McAuley 2018 (arXiv
1808.09781) have one sampled negative instead.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.errors import DataError, UsageError
from nearfar.core.outputs import Outputs
from nearfar.core.predicate import read
from nearfar.objectives.composed import Local

CARD = Card(
    name="next_item_cross_entropy",
    summary="softmax over all items of what came next, with the encoder's own table of items; a local term",
    related=("next_item", "self_attention", "gru"),
)


def next_item_cross_entropy(*, column: str = "next", stream: str = "x") -> Local:
    """The term on the sequences of a stream; `column` holds the item that came next, from 1 to those of the encoder.

    Raises, when it is computed, UsageError for an encoder without a table of items, DataError for an item beyond the table.

    >>> import nearfar as nf
    >>> nf.next_item_cross_entropy().stream
    'x'
    """

    def loss(outputs: Outputs) -> tuple[Tensor, Tensor]:
        table = getattr(outputs.tower, "items", None)
        if not isinstance(table, torch.nn.Embedding):
            raise UsageError(
                f"the encoder {type(outputs.tower).__name__} has no table of items",
                where="encoder",
                remedy="take one for sequences of items: self_attention, gru",
            )
        weight = table.weight[: outputs.tower.setup.items]
        item, vectors = read(outputs.rows.columns, column, "sequences"), outputs.rows.vectors
        if "view" in outputs.rows.columns:
            first = outputs.rows.columns["view"] == 0
            item, vectors = item[first], vectors[first]
        if len(item) and not 1 <= int(item.min()) <= int(item.max()) <= len(weight):
            raise DataError(
                f"items {int(item.min())} to {int(item.max())} come next, and the encoder knows 1 to {len(weight)}",
                where=f"column {column!r}",
                remedy="--set encoder.items=N, the highest item of all",
            )
        total = functional.cross_entropy(vectors @ weight.T, item.long() - 1, reduction="sum")
        return total, torch.tensor(len(item), device=vectors.device)

    return Local(loss, stream)
