"""`counted`: keys are classes, each weighing as often as its class occurs; the query's own is the positive.

        w_ic = n_c          positive where c is the query's label, else negative;     n_c = the key's column `class_count`

InfoNCE under it has the denominator sum_c n_c exp(s_ic): the same as if every record of the batch brought its class's key once. This is
the softmax with the prior of the batch in it (balanced softmax); a class that does not occur does not compete, so that nothing pushes
it away.
Kin: `paired` on the label counts every class once; `Relation.balanced` divides by the frequency instead.
Source: Lin et al. 2023 (arXiv 2304.04408), PCR, whose anchors meet the proxy of every record of the batch; the softmax is that of Ren
et al. 2020 (arXiv 2007.10740).
"""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.predicate import Columns, Same, read
from nearfar.core.relation import Relation, keep

CARD = Card(
    name="counted",
    summary="classes as keys, weighed by how often each occurs: own class positive, others negative",
    related=("paired", "labelled"),
    needs_columns=("label", "class_count"),
)


@dataclass(frozen=True)
class Counted(Relation):
    """The relation that `counted` makes."""

    column: str = "label"
    count: str = "class_count"

    def block(self, queries: Columns, keys: Columns) -> Block:
        often = read(keys, self.count, "keys")
        often = often if often.is_floating_point() else often.float()
        own = Same(self.column)(queries, keys)
        weight = often[None, :].expand(own.shape)
        return Block(keep(weight, own), keep(weight, ~own))


def counted(column: str = "label", count: str = "class_count") -> Relation:
    """Keys with the query's entry in `column` are positives, others negatives; all weigh what their column `count` says (0: no key).

    >>> import torch, nearfar as nf
    >>> classes = {"label": torch.arange(3), "class_count": torch.tensor([2, 1, 0])}
    >>> block = nf.counted()({"label": torch.tensor([0])}, classes)
    >>> block.pos.tolist(), block.neg.tolist()
    ([[2.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    """
    return Counted(column, count)
