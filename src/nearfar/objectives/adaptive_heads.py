"""Adaptive heads (AMCL): several projections, each pair with a temperature that a small network gives.

        L_i = sum_c  - s+ / t+  +  s- / t-  +  beta (omega(t+) - omega(t-)),     omega(t) = (d/2) log t + 1/t

for each head c: s+ is the cosine with the positive, s- that with the hardest negative (by the cosine itself), t = lower
+ (upper - lower) sigmoid(- phi(z_i) . phi(z_j)), with one phi for all heads. Nothing is detached: the temperature is
learned through both uses. For a positive dL/dt = (s - beta)/t^2 + beta d/(2t): once s >= beta, t+ runs to `lower` and
the loss to - s / lower. The loss has no floor but that bound, which is therefore 0.1 here; the authors' code has 1e-5.
Kin: `individual_temperatures` has one temperature a record, in a table; `info_nce` one for all.
Source: Wang et al. 2024 (arXiv 2310.05615), for SimCLR; 3 heads, beta 0.1 and the upper bound 2 are those of the
authors' code. Their table takes the single hardest negative; a mean over the `hardest` ones is an option of ours.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nearfar.core.block import Block, present
from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.relation import Relation
from nearfar.core.rows import Rows
from nearfar.core.rule import rule
from nearfar.maths.similarity import Similarity, unit
from nearfar.maths.weighted import weighted_mean
from nearfar.objectives.composed import Objective
from nearfar.objectives.scored import Scored

CARD = Card(
    name="adaptive_heads",
    summary="several projection heads, each pair with a learned temperature of its own",
    related=("individual_temperatures", "info_nce"),
)
NEEDS = Card(name="adaptive_heads", summary="a row needs both kinds", needs=("positive", "negative"))


class AdaptiveHeads(nn.Module):
    """The heads, the network of the temperatures, and the objective that they make; made by `adaptive_heads`."""

    def __init__(
        self,
        relation: Relation,
        dimension: int,
        out: int,
        heads: int,
        bounds: tuple[float, float],
        beta: float,
        hardest: int,
        streams: tuple[str, str | None],
    ) -> None:
        super().__init__()
        self.relation, self.out, self.bounds, self.beta = relation, out, bounds, beta
        self.hardest, self.streams = hardest, streams
        self.heads = nn.ModuleList(_two_layers(dimension, out) for _ in range(heads))
        self.phi = _two_layers(out, out)

    @property
    def objective(self) -> Objective:
        """A term for each head, "head0" and on; the loss is their sum."""
        measured = Similarity("cosine with temperatures", self._measure)
        queries_from, keys_from = self.streams
        terms = {
            f"head{i}": Scored(
                self._row_loss,
                self.relation,
                similarity=measured,
                head=self._through(head),
                queries_from=queries_from,
                keys_from=keys_from,
            )
            for i, head in enumerate(self.heads)
        }
        return Objective(terms)

    def _through(self, head: nn.Module) -> Callable[[Rows], Rows]:
        """Once a step: the unit vectors of a head and beside them what phi makes of them, so that no tile runs a network."""

        def project(rows: Rows) -> Rows:
            projected = unit(head(rows.vectors))
            return rows.with_vectors(torch.cat([projected, self.phi(projected)], 1))

        return project

    def _measure(self, queries: Rows, keys: Rows) -> tuple[Tensor, dict[str, Tensor]]:
        q, k = queries.vectors, keys.vectors
        lower, upper = self.bounds
        asked = -(q[:, self.out :] @ k[:, self.out :].T)
        temperature = lower + (upper - lower) * torch.sigmoid(asked)
        return q[:, : self.out] @ k[:, : self.out].T, {"temperature": temperature}

    @rule(NEEDS)
    def _row_loss(self, scores: Float[Tensor, "q k"], block: Block) -> Float[Tensor, " q"]:
        """Scores arrive divided by the temperatures of their pairs."""
        t = block.channels["temperature"]
        pull = scores - self.beta * (self.out / 2 * t.log() + 1 / t)
        by_cosine = (scores * t).detach().masked_fill(~present(block.neg), -torch.inf)
        chosen = by_cosine.topk(min(self.hardest, scores.shape[1]), 1).indices
        return weighted_mean(pull.gather(1, chosen), block.neg.gather(1, chosen)) - weighted_mean(pull, block.pos)


def _two_layers(dim: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, out))


def adaptive_heads(
    relation: Relation,
    dimension: int,
    out: int = 128,
    *,
    heads: int = 3,
    lower: float = 0.1,
    upper: float = 2.0,
    beta: float = 0.1,
    hardest: int = 1,
    queries_from: str = "x",
    keys_from: str | None = None,
) -> AdaptiveHeads:
    """Heads from `dimension` to `out` dimensions with pair temperatures: a module with an `objective`.

    `relation` is multi_view() on one table [n dimension] or, with `keys_from`, paired() on two; both then go through the same heads.
    The heads and phi are parameters to be given to the optimiser. Raises UsageError for options out of range.

    >>> import torch, nearfar as nf
    >>> x = nf.rows(torch.randn(8, 16), record=torch.arange(8) % 4, view=torch.arange(8) // 4)
    >>> model = nf.adaptive_heads(nf.multi_view(), 16, 4)
    >>> loss = nf.contrast(model.objective, x)
    >>> sorted(model.objective.terms)
    ['head0', 'head1', 'head2']
    """
    if min(dimension, out, heads, hardest) < 1 or not 0 < lower < upper:
        raise UsageError(
            f"adaptive_heads with dimension={dimension}, out={out}, heads={heads}, hardest={hardest}, lower={lower}, upper={upper}",
            remedy="at least 1 of each, and 0 < lower < upper",
        )
    return AdaptiveHeads(relation, dimension, out, heads, (lower, upper), beta, hardest, (queries_from, keys_from))
