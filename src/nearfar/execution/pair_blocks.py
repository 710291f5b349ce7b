"""`PairBlocks`: aligned pairs cut into square blocks of scores, whose gradients are added up in place.

It holds what every specialised sweep needs and nothing of any rule: unit vectors, two buffers of one block, the gradients of both
tables, and the way back to what the user gave. Extra memory is four tables and two blocks, however many pairs there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nearfar.core.predicate import PairFunction
from nearfar.core.rows import Rows
from nearfar.core.terms import Term, Terms
from nearfar.execution.attach import attach
from nearfar.execution.ranks import Ranks
from nearfar.maths.similarity import cosine, inverse_length
from nearfar.objectives.scored import Scored, now


@dataclass
class PairBlocks:
    """One evaluation: the tables, the block size, what all blocks share, and the gradients that they add up."""

    term: Scored
    queries: Rows
    keys: Rows
    dropped: list[PairFunction]
    block: int
    ranks: Ranks | None

    def __post_init__(self) -> None:
        # The cosine's division by lengths is undone here by hand: through a graph it would hold three more tables.
        vectors = tuple(t.vectors.detach() for t in (self.queries, self.keys))
        self.inverse = tuple(inverse_length(v) for v in vectors) if self.term.similarity is cosine else None
        self.x, self.y = vectors
        if self.inverse is not None:
            self.x, self.y = (v * i.to(v.dtype) for v, i in zip(vectors, self.inverse, strict=True))
        self.total = len(self.x)
        self.mine = slice(0, self.total) if self.ranks is None else self.ranks.share(self.total)
        self.low = self.x.dtype in (torch.float16, torch.bfloat16)
        self.kind = torch.float32 if self.low else self.x.dtype
        self.temperature, self.bias = _number(now(self.term.temperature)), _number(now(self.term.bias))
        self.grad = torch.is_grad_enabled() and any(t.requires_grad for t in self._inputs())
        self.dbias = 0.0
        self.everything = slice(0, self.total)
        self.buffer = self.x.new_empty(self.block, self.block, dtype=self.kind)
        self.spare = self.x.new_empty(self.block, self.block, dtype=self.kind)
        if self.grad:
            self.dx, self.dy = (torch.zeros_like(t, dtype=self.kind) for t in (self.x, self.y))

    def positives(self) -> Tensor:
        """Scores of this rank's positives, without the bias."""
        return torch.cat(
            [(self.x[i].double() * self.y[i].double()).sum(1) / self.temperature for i in self.blocks(self.mine)]
            or [self.x.new_zeros(0, dtype=torch.float64)]
        )

    def blocks(self, rows: slice, height: int | None = None) -> list[slice]:
        """Some rows in pieces."""
        size = height or self.block
        return [slice(first, min(first + size, rows.stop)) for first in range(rows.start, rows.stop, size)]

    def block_at(self, i: slice, j: slice) -> Tensor:
        """The buffer that all blocks share, in the shape of one of them."""
        return self.buffer[: i.stop - i.start, : j.stop - j.start]

    def scores(self, i: slice, j: slice, out: Tensor | None = None) -> Tensor:
        """Scores of a block without the bias; by default in the buffer that all blocks share."""
        out = self.block_at(i, j) if out is None else out
        if self.low:
            out.copy_(self.x[i] @ self.y[j].T).mul_(1 / self.temperature)
        else:
            # The temperature costs nothing inside the product.
            torch.addmm(out, self.x[i], self.y[j].T, beta=0, alpha=1 / self.temperature, out=out)
        return out

    def absent(self, i: slice, j: slice) -> list[Tensor]:
        """Pairs of a block that an edit dropped, the positives never among them."""
        if not self.dropped:
            return []
        q = {name: column[i] for name, column in self.queries.columns.items()}
        k = {name: column[j] for name, column in self.keys.columns.items()}
        made = []
        for predicate in self.dropped:
            holds = predicate(q, k).clone()
            if (on := self.diagonal_of(holds, i, j)) is not None:
                on.fill_(False)
            made.append(holds)
        return made

    @staticmethod
    def diagonal_of(block: Tensor, i: slice, j: slice) -> Tensor | None:
        """A view of the positives in a block, or None if there are none."""
        first, last = max(i.start, j.start), min(i.stop, j.stop)
        if first >= last:
            return None
        return block[first - i.start : last - i.start, first - j.start : last - j.start].diagonal()

    def add_gradient(self, g: Tensor, i: slice, j: slice) -> None:
        """Add what the gradient of a block's scores means for its rows and keys."""
        if self.low:
            g = g.to(self.x.dtype)
            self.dx[i] += g @ self.y[j]
            self.dy[j] += g.T @ self.x[i]
        else:
            self.dx[i].addmm_(g, self.y[j])
            self.dy[j].addmm_(g.T, self.x[i])

    def _inputs(self) -> list[Tensor]:
        learned = [t for t in (self.term.temperature, self.term.bias) if isinstance(t, Tensor)]
        return [self.queries.vectors, self.keys.vectors, *learned]

    def terms(self, shares: dict[str, Tensor]) -> Terms:
        """The sums of each direction as terms that carry the gradients of all inputs."""
        count = self.x.new_tensor(self.mine.stop - self.mine.start, dtype=self.kind)
        weight = 1 / len(shares)
        names = {n: n if len(shares) > 1 else "" for n in shares}
        parts = {names[n]: Term(s.to(self.kind), count, weight) for n, s in shares.items()}
        if not self.grad:
            return Terms(parts)
        self.dx.div_(self.temperature)
        self.dy.div_(self.temperature)
        gradients: list[Tensor] = [self.dx, self.dy]
        if isinstance(self.term.temperature, Tensor):
            # The scores are products over t: the sum of gradient times score is <x, dx>, and d/dt of a score is -score / t.
            along = sum((_inner(self.dx[i], self.x[i]) for i in self.blocks(self.mine)), start=0.0)
            gradients.append(self.x.new_tensor(-along / self.temperature, dtype=self.kind))
        if isinstance(self.term.bias, Tensor):
            gradients.append(self.x.new_tensor(self.dbias, dtype=self.kind))
        if self.inverse is not None:
            self._through_lengths(self.dx, self.x, self.inverse[0])
            self._through_lengths(self.dy, self.y, self.inverse[1])
        wanted = [(t, g) for t, g in zip(self._inputs(), gradients, strict=True) if t.requires_grad]
        shaped = [g.reshape(t.shape) for t, g in wanted]
        return Terms(parts, attach(self.x.new_zeros((), dtype=self.kind), shaped, [t for t, _ in wanted]))

    def _through_lengths(self, gradient: Tensor, unit: Tensor, inverse: Tensor) -> None:
        """From the gradient of unit vectors to that of the vectors, in place: what points along a vector is lost."""
        for i in self.blocks(self.everything):
            u, g = unit[i].to(self.kind), gradient[i]
            g.sub_(u * (u * g).sum(1, keepdim=True)).mul_(inverse[i])


def _inner(a: Tensor, b: Tensor) -> float:
    return float((a.double() * b.double()).sum())


def _number(given: float | Tensor) -> float:
    return float(given.detach()) if isinstance(given, Tensor) else float(given)
