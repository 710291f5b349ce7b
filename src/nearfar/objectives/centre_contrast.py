"""Centre contrast: a record's vector and the centre of its own cluster are near; vectors and centres of other clusters are far.

        rows of a view:  z = h_1 .. h_n, c_1 .. c_n      c_i the centre of record i's cluster, without gradient
        l_i = - z_i z_p(i) / t + log ( exp(z_i z_p(i) / t) + sum_k exp(z_i z_k / t) )      p(i): the partner, h of c and c of h
        k over rows whose cluster is another one

Rows of the same cluster are left out, not pushed away: equal centres are no negatives. Views do not meet: each has a loss of its own,
and all rows weigh the same. Clusters and centres are columns, found anew each pass by `clusters` and `class_centres`.
Kin: `prototypes` with `info_nce` compares a vector with all centres and with nothing else; `masked_views` does the same between views.
Source: Qin et al. 2023 (arXiv 2310.14318), the fine-grained intents of their code: plain products, temperature 1, every centre that
stands in the batch a query too. Their loss is the sum of two views' means over vectors and centres; here it is the mean over all rows, so twice the
weight says the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.predicate import Columns, Itself, Same, read
from nearfar.core.relation import Relation
from nearfar.core.rows import Rows
from nearfar.core.rule import rule
from nearfar.maths.similarity import BY_NAME
from nearfar.maths.weighted import either, log_sum_exp, weighted_mean
from nearfar.objectives.scored import Scored

CARD = Card(
    name="centre_contrast",
    summary="own cluster's centre near; vectors and centres of other clusters far; the own cluster left out",
    related=("class_centres", "clusters", "masked_views", "info_nce"),
)

SIDE = "centre_side"  # 0: a vector, 1: the centre of one


@dataclass(frozen=True)
class OwnCentre(Relation):
    """A row and its centre are a pair; rows of one view and of different clusters are negatives."""

    cluster: str

    def block(self, queries: Columns, keys: Columns) -> Block:
        own = Itself()(queries, keys)
        view = Same("view")(queries, keys) if "view" in queries else torch.ones_like(own)
        return Block(own & ~Same(SIDE)(queries, keys), view & ~own & ~Same(self.cluster)(queries, keys))


@rule(Card(name="softmax", summary="the partner among all keys of a row", needs=("positive",)))
def softmax(scores: Float[Tensor, "q k"], block: Block) -> Float[Tensor, " q"]:
    """As `info_nce`."""
    return log_sum_exp(scores, either(block.pos, block.neg)) - weighted_mean(scores, block.pos)


def centre_contrast(
    cluster: str = "cluster",
    centre: str = "centre",
    *,
    temperature: float = 1.0,
    similarity: str = "dot",
    stream: str = "x",
) -> Scored:
    """The term on one stream [r d], with cluster numbers [r] and centres [r d] in two columns.

    Raises UsageError for an unknown similarity or a temperature that is not positive, and, when it is computed, for columns that the
    rows lack or centres of another dimension.

    >>> import torch, nearfar as nf
    >>> x = torch.eye(2)
    >>> rows = nf.rows(x, cluster=[0, 1], centre=x)
    >>> round(float(nf.contrast(nf.centre_contrast(), rows)), 4)                 # log (1 + 2 / e)
    0.5514
    """
    if similarity not in BY_NAME or temperature <= 0:
        raise UsageError(
            f"similarity {similarity!r} at temperature {temperature}",
            where="centre_contrast",
            remedy=f"choose one of {sorted(BY_NAME)} and a positive number",
        )

    def with_centres(table: Rows) -> Rows:
        centres = read(table.columns, centre, "rows")
        if centres.shape != table.vectors.shape:
            raise UsageError(
                f"centres of shape {list(centres.shape)} for vectors of {list(table.vectors.shape)}",
                where=f"column {centre!r}",
                remedy="write the column by class_centres, of the same stream",
            )
        columns = {name: torch.cat([c, c]) for name, c in table.columns.items() if name != centre}
        side = torch.arange(2, device=centres.device).repeat_interleave(len(table))
        vectors = torch.cat([table.vectors, centres.to(table.vectors)])
        return Rows(vectors, {**columns, SIDE: side}, replicated=table.replicated)

    return Scored(
        softmax,
        OwnCentre(cluster),
        similarity=BY_NAME[similarity],
        temperature=temperature,
        head=with_centres,
        queries_from=stream,
        keys_from=None,
    )
