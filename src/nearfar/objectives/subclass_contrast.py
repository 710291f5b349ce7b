"""Subclass contrast: a row is near to rows of its subclass, and less so to the rest of its class, against all other subclasses.

        l_i = - mean over p in S of [ s_ip / t   - log sum over a in A of exp(s_ia / t) ]
              - weight  mean over p in O of [ s_ip / t_i - log sum over a in N of exp(s_ia / t_i) ]

        S  rows of i's subclass     A  all rows but i     O  rows of i's class and of another subclass, and views of i's own record
        N  rows of other subclasses, and views of i's own record

t_i is a column, a temperature of the query's class: `class_temperatures`. Where a class is one subclass the second term is the contrast of a
record's views against other classes. With one subclass a class and weight 0 it is supervised contrast (`info_nce` under `labelled`).
Kin: `centre_contrast` draws rows to centres of clusters; the relation `hierarchical` has levels with weights in one softmax.
Source: Hou et al. 2023 (arXiv 2306.15925) by the authors' code: t 0.1. Their weight of 0.25 stands beside a first term that is multiplied by
t / 0.07; divided by that, it is the 0.175 here.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.predicate import Columns, Itself, Same, read
from nearfar.core.relation import Relation
from nearfar.core.rows import Rows
from nearfar.core.rule import rule
from nearfar.maths.similarity import Similarity, cosine
from nearfar.maths.weighted import either, log_sum_exp, weighted_mean
from nearfar.objectives.composed import Objective
from nearfar.objectives.scored import Scored

CARD = Card(
    name="subclass_contrast",
    summary="rows of a subclass near, then those of its class, against all others; for classes of unequal size",
    related=("class_clusters", "class_temperatures", "labelled", "hierarchical", "info_nce"),
    needs_columns=("record", "view", "label", "subclass", "temperature"),
)


@dataclass(frozen=True)
class SameSubclass(Relation):
    """Same subclass: positive; all else: negative; the row itself: left out. An unknown (negative) subclass holds one record."""

    subclass: str

    def block(self, queries: Columns, keys: Columns) -> Block:
        mate = _mates(queries, keys, self.subclass)
        return Block(mate & ~Itself()(queries, keys), ~mate)


@dataclass(frozen=True)
class SameClass(Relation):
    """Other subclasses of the class, and other views of the record: positive; other classes: negative; subclass mates: left out."""

    label: str
    subclass: str

    def block(self, queries: Columns, keys: Columns) -> Block:
        record, mate = Same("record")(queries, keys), _mates(queries, keys, self.subclass)
        alike = _mates(queries, keys, self.label)
        return Block(alike & ~mate | record & ~Itself()(queries, keys), ~alike & ~mate)


def _mates(queries: Columns, keys: Columns, column: str) -> Tensor:
    """[q k] the same known entry in a column, or the same record."""
    known = read(queries, column, "queries") >= 0
    return Same(column)(queries, keys) & known[:, None] | Same("record")(queries, keys)


@rule(Card(name="softmax", summary="the positives among all keys of a row", needs=("positive",)))
def softmax(scores: Float[Tensor, "q k"], block: Block) -> Float[Tensor, " q"]:
    """As `info_nce`."""
    return log_sum_exp(scores, either(block.pos, block.neg)) - weighted_mean(scores, block.pos)


def subclass_contrast(
    *,
    temperature: float = 0.1,
    weight: float = 0.175,
    label: str = "label",
    subclass: str = "subclass",
    class_temperature: str = "temperature",
    stream: str = "x",
) -> Objective:
    """The two terms, "subclass" and "class", on one stream [r d] that holds views of records.

    temperature        of the first term
    weight             of the second
    label, subclass    columns of whole numbers; negative is unknown
    class_temperature  the column of temperatures of the second term

    Raises UsageError for a temperature that is not positive or a negative weight, and, when it is computed, for columns that the
    rows lack.

    >>> import torch, nearfar as nf
    >>> columns = {"label": [0, 0, 1, 1], "subclass": [0, 1, 2, 2], "temperature": [0.1] * 4}
    >>> rows = nf.rows(torch.ones(4, 3), record=[0, 1, 2, 2], view=[0, 0, 0, 1], **columns)
    >>> round(float(nf.contrast(nf.subclass_contrast(weight=0.0), rows)), 4)      # collapsed: log 3
    1.0986
    """
    if not temperature > 0 or weight < 0:
        raise UsageError(
            f"temperature {temperature}, weight {weight}",
            where="subclass_contrast",
            remedy="give a temperature above zero, and a weight of zero or more",
        )

    def measured(queries: Rows, keys: Rows) -> tuple[Tensor, dict[str, Tensor]]:
        scores = queries.vectors @ keys.vectors.T
        own = read(queries.columns, class_temperature, "queries").to(scores.dtype)
        return scores, {"temperature": own[:, None].expand_as(scores)}

    within = Scored(softmax, SameSubclass(subclass), temperature=temperature, queries_from=stream, keys_from=None)
    across = Scored(
        softmax,
        SameClass(label, subclass),
        similarity=Similarity("cosine with temperatures of classes", measured, cosine.prepare),
        queries_from=stream,
        keys_from=None,
    )
    return Objective({"subclass": within, "class": across}, {"class": weight})
