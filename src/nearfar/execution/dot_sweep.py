"""The specialised sweep: InfoNCE, decoupled and sigmoid on aligned pairs, both directions from the same blocks of products.

The generic path computes scores, weights and a graph a tile, and each direction by itself: six products of q x k x d for two ways. Here
both directions share their exponentials: four products (scores twice, two for the gradient), three for one way, for the sigmoid, or
where one block holds all pairs; in square blocks that stay in the cache, in buffers that are allocated once. No mask exists: of
`paired` only the diagonal is needed, and pairs that an edit drops are cleared block by block.

It is chosen by (rule, type of relation, similarity), never asked for. Where it does not apply, or where exponentials without a
row's own shift could lose digits, the answer is None and the generic path runs; the plain path stays the reference of both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.core.predicate import PairFunction
from nearfar.core.relation import DropNegatives
from nearfar.core.rows import Rows
from nearfar.core.terms import Terms
from nearfar.execution.pair_blocks import PairBlocks
from nearfar.execution.ranks import Ranks
from nearfar.maths.similarity import cosine, dot
from nearfar.objectives.decoupled import decoupled
from nearfar.objectives.info_nce import info_nce
from nearfar.objectives.scored import Scored, now
from nearfar.objectives.sigmoid import sigmoid
from nearfar.relations.paired import Paired

# Blocks of this many rows and keys: a few MB with their vectors, which second-level caches hold between product and exponential.
BLOCK = 1024

# Scores are shifted by one constant for all rows, so exp(score - shift) stays below exp(60): sums over a billion keys are finite.
HIGHEST = 60.0

# A row whose exponentials sum to less has lost digits to underflow in float32; the generic path shifts each row by its own top.
SMALLEST_SUM = 1e-25

# One way, a strip of rows keeps its exponentials until the row is complete: this many bytes of them.
STRIP = 16 * 2**20


def dot_sweep(term: Scored, queries: Rows, keys: Rows, block: int, ranks: Ranks | None) -> Terms | None:
    """The terms of aligned pairs in square blocks, gradients already taken; None where this sweep does not apply."""
    dropped = _dropped(term.relation) if term.relation is not None else None
    simple = term.rule in (info_nce, decoupled, sigmoid) and term.similarity in (cosine, dot)
    plain = term.own is None and not term.edits and term.weight is None and term.keys is None
    if not (simple and plain and dropped is not None and term.row == "vector" and term.reduce == "mean"):
        return None
    if not all(torch.as_tensor(now(t)).ndim == 0 for t in (term.temperature, term.bias)):
        return None
    if not _aligned(queries, keys, dropped[0]):
        return None
    blocks = PairBlocks(term, queries, keys, dropped[1], min(block, len(queries)), ranks)
    return _sigmoid(blocks) if term.rule is sigmoid else _softmax(blocks)


def _dropped(relation: object) -> tuple[str, list[PairFunction]] | None:
    """The column of a `paired` relation and what its edits drop from the negatives; None for any other relation."""
    if isinstance(relation, Paired):
        return relation.column, []
    if isinstance(relation, DropNegatives) and (inner := _dropped(relation.base)) is not None:
        return inner[0], [*inner[1], relation.predicate]
    return None


def _aligned(queries: Rows, keys: Rows, column: str) -> bool:
    """Whether row i of one table belongs to row i of the other and to no other row."""
    q, k = queries.columns.get(column), keys.columns.get(column)
    shapes = queries.vectors.ndim == keys.vectors.ndim == 2 and queries.vectors.dtype == keys.vectors.dtype
    if q is None or k is None or not len(q) or q.ndim != 1 or not shapes or not torch.equal(q, k):
        return False
    return len(torch.unique(q)) == len(q)


def _softmax(b: PairBlocks) -> Terms | None:
    """InfoNCE and decoupled: with and without the positive among those that compete."""
    bound = float(b.x.norm(dim=1).amax().float() * b.y.norm(dim=1).amax().float()) / b.temperature
    shift = max(0.0, bound - HIGHEST)
    if not b.term.both_ways:
        return _one_way(b, shift)
    rows, columns = (b.x.new_zeros(b.total, dtype=torch.float64) for _ in range(2))
    for i in b.blocks(b.mine):
        for j in b.blocks(b.everything):
            e = _exponentials(b, i, j, shift)
            rows[i] += e.sum(1)
            columns[j] += e.sum(0)
    lost = (rows[b.mine] < SMALLEST_SUM).any().to(torch.float64)[None]
    if b.ranks is not None:
        columns, lost = b.ranks.sum(torch.cat([columns, lost])).split([b.total, 1])
    if bool(lost > 0) or bool((columns < SMALLEST_SUM).any()):
        return None
    positives = b.positives()
    shares = {
        "forward": (rows[b.mine].log() + shift - positives).sum(),
        "backward": (columns[b.mine].log() + shift - positives).sum(),
    }
    if b.grad:
        _both_gradients(b, rows, columns, shift)
    return b.terms(shares)


def _both_gradients(b: PairBlocks, rows: Tensor, columns: Tensor, shift: float) -> None:
    """Of the mean over all rows and both ways: a pair's two probabilities, minus two at the positive."""
    at_hand = len(b.blocks(b.mine)) == len(b.blocks(b.everything)) == 1  # the sums left the only block in the buffer
    of_row, of_column = torch.zeros_like(rows), (0.5 / b.total / columns).to(b.kind)
    of_row[b.mine] = 0.5 / b.total / rows[b.mine]
    of_row = of_row.to(b.kind)
    for i in b.blocks(b.mine):
        for j in b.blocks(b.everything):
            e = b.block_at(i, j) if at_hand else _exponentials(b, i, j, shift)
            weights = b.spare[: e.shape[0], : e.shape[1]]
            e.mul_(torch.add(of_row[i, None], of_column[None, j], out=weights))
            _add_pulled(b, e, i, j)


def _one_way(b: PairBlocks, shift: float) -> Terms | None:
    """A row is complete within a strip of blocks, so its exponentials are kept and made once: three products."""
    loss = b.x.new_zeros((), dtype=torch.float64)
    lost = torch.zeros((), dtype=torch.float64, device=b.x.device)
    height = max(1, min(b.block, STRIP // (b.total * b.buffer.element_size())))
    strip = b.x.new_empty(height, b.total, dtype=b.kind)
    for i in b.blocks(b.mine, height):
        rows = b.x.new_zeros(i.stop - i.start, dtype=torch.float64)
        for j in b.blocks(b.everything):
            rows += _exponentials(b, i, j, shift, strip[: i.stop - i.start, j]).sum(1)
        lost += (rows < SMALLEST_SUM).any()
        loss += (rows.log() + shift).sum()
        if b.grad:
            part = (1 / b.total / rows).to(b.kind)[:, None]
            for j in b.blocks(b.everything):
                _add_pulled(b, strip[: i.stop - i.start, j].mul_(part), i, j)
    if bool((lost if b.ranks is None else b.ranks.sum(lost)) > 0):
        return None
    return b.terms({"forward": loss - b.positives().sum()})


def _add_pulled(b: PairBlocks, probabilities: Tensor, i: slice, j: slice) -> None:
    """Probabilities less one at the positive, over the number of rows: the gradient of a mean of softmax losses.

    Subtracted here, where both numbers are of one size; from the sums of products the small difference would be lost.
    """
    if (on := b.diagonal_of(probabilities, i, j)) is not None:
        on.sub_(1 / b.total)
    b.add_gradient(probabilities, i, j)


def _exponentials(b: PairBlocks, i: slice, j: slice, shift: float, out: Tensor | None = None) -> Tensor:
    scores = b.scores(i, j, out)
    e = (scores.sub_(shift) if shift else scores).exp_()
    for m in b.absent(i, j):
        e.masked_fill_(m, 0)
    # Decoupled: the positive does not compete.
    if b.term.rule is decoupled and (on := b.diagonal_of(e, i, j)) is not None:
        on.zero_()
    return e


def _sigmoid(b: PairBlocks) -> Terms:
    """Every pair by itself; the sums over rows and over columns are one sum, so one way is both."""
    loss = b.x.new_zeros((), dtype=torch.float64)
    dbias = b.x.new_zeros((), dtype=torch.float64)
    for i in b.blocks(b.mine):
        for j in b.blocks(b.everything):
            scores = b.scores(i, j).add_(b.bias)
            for m in b.absent(i, j):
                scores.masked_fill_(m, -torch.inf)
            # A negative costs -log sigmoid(-s), with gradient sigmoid(s); a positive the same of -s, with a minus sign.
            scores.neg_()
            on = b.diagonal_of(scores, i, j)
            if on is not None:
                on.neg_()
            loss -= torch.nn.functional.logsigmoid(scores).sum(dtype=torch.float64)
            if b.grad:
                scores.neg_().sigmoid_()
                if on is not None:
                    on.neg_()
                scores.mul_(1 / b.total)
                dbias += scores.sum(dtype=torch.float64)
                b.add_gradient(scores, i, j)
    b.dbias = float(dbias)
    return b.terms({"forward": loss, "backward": loss} if b.term.both_ways else {"forward": loss})
