"""`contrast`: the loss of a rule under a relation, or of a whole objective, as one scalar for any training loop.

It tiles itself: a batch whose score matrix does not fit is swept in tiles of rows with the same loss and gradient, so the batch
is bounded by its vectors and not by its square. Where `torch.distributed` runs, the batch is that of all ranks together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from nearfar.core.block import Block
from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.predicate import Columns
from nearfar.core.relation import Relation
from nearfar.core.rows import Rows, rows
from nearfar.core.rule import Rule
from nearfar.execution.evaluate import Tiling, evaluate_objective
from nearfar.execution.ranks import Ranks, chosen
from nearfar.maths.similarity import Similarity, cosine
from nearfar.objectives.composed import Aligned, Objective, OnRows
from nearfar.objectives.scored import Edit, OwnKeys, Scored, now

CARD = Card(
    name="contrast",
    summary="the loss of a rule under a relation, in any training loop; tiles itself",
    related=("info_nce", "paired"),
)


def contrast(
    rule: Rule | Scored | Aligned | OnRows | Objective,
    x: Rows | Tensor,
    y: Rows | Tensor | None = None,
    relation: Relation | Callable[[Columns, Columns], Block] | None = None,
    *,
    both_ways: bool = False,
    temperature: float | Tensor | Callable[[], Tensor] = 1.0,
    bias: float | Tensor | Callable[[], Tensor] = 0.0,
    similarity: Similarity | Callable[[Rows, Rows], Any] = cosine,
    head: Callable[[Rows], Rows] | None = None,
    keys: Callable[[Rows, Rows], Rows] | None = None,
    own: OwnKeys | None = None,
    edits: Sequence[Edit] = (),
    weight: Callable[[Rows, Rows], Tensor] | None = None,
    row: Literal["vector", "record"] = "vector",
    reduce: Literal["mean", "log_mean_exp"] = "mean",
    streams: Mapping[str, Rows | Tensor] | None = None,
    tile: Tiling = "auto",
    ranks: Ranks | Literal["auto"] | None = "auto",
) -> Tensor:
    """The loss of `rule` on queries `x` [q d] against keys `y` [k d] (x itself when None), a scalar with gradient.

    `temperature` and `bias` may be learned tensors; so may anything else that the rule or the similarity closes over: every
    leaf gets its exact gradient. Rows that lack what the rule needs are left out of sum and count. `tile` is "auto",
    a number of rows, or None for one plain graph (needed to differentiate twice).
    The other arguments are those of `Scored`.

    Instead of a rule there may be a term or an `Objective` that holds all of this (`nf.barlow()`, an `nf.Scored`); it
    reads the streams "x" and "y" and those of `streams`.

    Under `torch.distributed` (`ranks="auto"`) the rows of all ranks are one batch: the value is the same on every rank and in
    one process, the gradient of this rank's rows is complete, and that of parameters is this rank's share, which
    `nf.sum_gradients(parameters)` adds up - a sum: DistributedDataParallel would take the mean. None: this process alone.

    Raises UsageError for shapes that do not fit, a temperature that is not positive, or a column that the relation
    reads and the rows lack.

    >>> import torch, nearfar as nf
    >>> x = torch.randn(6, 4, requires_grad=True)
    >>> y = x.detach() + 0.1 * torch.randn(6, 4)
    >>> loss = nf.contrast(nf.info_nce, x, y, nf.paired(), both_ways=True, temperature=0.05)
    >>> loss.backward()
    >>> x.grad.shape
    torch.Size([6, 4])
    """
    queries = rows(x)
    table = queries if y is None else rows(y)
    if isinstance(tile, int) and tile < 1:
        raise UsageError(f"a tile of {tile} rows", remedy='use tile="auto", None, or a number of at least 1')
    if isinstance(rule, (Scored, Aligned, OnRows, Objective)):
        if relation is not None:
            raise UsageError(
                "an objective has its relation in it", remedy="leave the relation out, or pass the rule instead"
            )
        objective = rule if isinstance(rule, Objective) else Objective({"": rule})
        if local := sorted(objective.local()):
            raise UsageError(
                f"the local terms {local} see what an encoder makes of its inputs, and here are vectors only",
                remedy="use nf.backward with streams, or a recipe",
            )
    else:
        term = Scored(
            rule,
            relation,
            similarity=similarity,
            temperature=temperature,
            bias=bias,
            both_ways=both_ways,
            head=head,
            keys=keys,
            own=own,
            edits=edits,
            weight=weight,
            row=row,
            reduce=reduce,
            keys_from="x" if y is None else "y",
        ).at_this_step()
        _check(term, queries, table)
        objective = Objective({"": term})
    given = {name: rows(t) for name, t in (streams or {}).items()}
    return evaluate_objective(objective, {"x": queries, "y": table, **given}, tile=tile, ranks=chosen(ranks)).loss


def _check(term: Scored, queries: Rows, keys: Rows) -> None:
    if term.relation is None and term.own is None:
        raise UsageError(
            "contrast needs a relation: who is a positive of whom",
            remedy="pass nf.paired() for two tables of pairs, nf.multi_view() or nf.labelled() for one",
        )
    prepared = isinstance(term.similarity, Similarity) and term.similarity.prepare is not None
    if queries.vectors.shape[-1] != keys.vectors.shape[-1] and prepared and term.head is None:
        raise UsageError(
            f"queries have {queries.vectors.shape[-1]} dimensions and keys {keys.vectors.shape[-1]}",
            remedy="project them to one size, or use a bilinear similarity",
        )
    if bool((torch.as_tensor(now(term.temperature)).detach() <= 0).any()):
        raise UsageError("the temperature must be positive", remedy="learn its logarithm: temperature=log_t.exp()")
