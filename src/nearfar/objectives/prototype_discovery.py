"""Prototype discovery: learned prototypes of known and unknown classes together, taught by labels and by their own sharpened opinions.

        o = cos(z, prototypes)   [2 n K], two looks at n records
        distillation   mean over looks a, b of CE( q(o_a), softmax(o_b / t) )             q without gradient: softmax(o_a / sharp), or where
                       the ratio of its two highest shares is among the highest `share` of the look's rows, the highest alone, as 1
        balance        sum_k m_k log m_k + log K,   m = mean over rows of softmax(o / t)
        separation     mean_c log mean over c' != c of exp(cos(c, c') / t)
        labels         mean over rows with a label of  - log softmax(o / t)[label]
        L = (1 - supervised) (distillation + 2 balance + separation) + supervised labels

The share of rows that are taken at their word grows linearly from `least` to 1 over `growing` steps, after `waiting` ones: at first prototypes
know little. Equal use of all prototypes (balance) supposes classes of like size. Labels 0, 1, ... name the first prototypes; a negative
label is unknown, of a known class or of a new one. No two records are compared here: contrasts stand beside it.
Kin: `swapped_prediction` has no labels, and balances by Sinkhorn; keys `prototypes` with `info_nce` are the labels' term alone.
Source: Ma et al. 2025 (arXiv 2504.03755) by the authors' code: t 0.1, sharp 0.05, weights, shares from 0.2 to 1 over 100 of 200 passes; a
share moves there with each pass, here with each step. Prototypes begin at random directions, and short, which is ours: of length one, they
would hardly be turned by some hundred steps of AdamW at 0.001 (theirs learn by SGD at 0.1).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.draws import normal
from nearfar.core.errors import DataError, UsageError
from nearfar.core.predicate import read
from nearfar.core.rows import Rows
from nearfar.maths.similarity import unit
from nearfar.objectives.composed import Objective, OnRows

CARD = Card(
    name="prototype_discovery",
    summary="prototypes of known and new classes, taught by labels and sharpened opinions of another look",
    related=("swapped_prediction", "prototypes", "soft_targets"),
    needs_columns=("record", "view", "label"),
)

SHORT = 0.1  # length of a prototype at first: only directions count, and an adaptive optimiser's steps turn short vectors farther


class Discovery(nn.Module):
    """Learned `vectors` [K d] and the four terms on one stream of two looks a record."""

    steps: Tensor

    def __init__(
        self,
        count: int,
        dimension: int,
        temperature: float,
        sharp: float,
        least: float,
        waiting: int,
        growing: int,
        seed: int,
    ) -> None:
        super().__init__()
        drawn = normal(seed, "prototypes", torch.arange(count)[:, None], torch.arange(dimension))
        self.vectors = nn.Parameter(SHORT * unit(drawn).to(torch.get_default_dtype()))
        self.temperature, self.sharp = temperature, sharp
        self.least, self.waiting, self.growing = least, waiting, growing
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, vectors: Float[Tensor, "r d"]) -> Float[Tensor, "r k"]:
        """Cosines with the prototypes."""
        return unit(vectors) @ unit(self.vectors).T

    @property
    def share(self) -> float:
        """Of the rows, those that are taken at their word at this step."""
        grown = min(1.0, max(0, int(self.steps) - self.waiting) / self.growing)
        return self.least + (1 - self.least) * grown

    def distillation(self, table: Rows) -> Float[Tensor, ""]:
        """Each look foretells the sharpened opinion of the other."""
        looks = [self(vectors) for vectors in _looks(table)]
        logs = [torch.log_softmax(o / self.temperature, 1) for o in looks]
        first, second = (self._opinion(o.detach()) for o in looks)
        return -((first * logs[1]).sum(1).mean() + (second * logs[0]).sum(1).mean()) / 2

    def _opinion(self, scores: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Softmax of a look; of its surest rows, the highest alone."""
        soft = torch.softmax(scores / self.sharp, 1)
        highest = soft.topk(2, 1)
        ratio = highest.values[:, 0] / (highest.values[:, 1] + 1e-6)
        sure = ratio.topk(int(len(ratio) * self.share)).indices
        hard = functional.one_hot(highest.indices[:, 0], soft.shape[1]).to(soft.dtype)
        return soft.index_copy(0, sure, hard[sure])

    def balance(self, table: Rows) -> Float[Tensor, ""]:
        """How far the mean opinion is from an equal one."""
        mean = torch.softmax(self(table.vectors) / self.temperature, 1).mean(0)
        return torch.special.xlogy(mean, mean).sum() + math.log(len(mean))

    def separation(self, table: Rows) -> Float[Tensor, ""]:
        """How near prototypes are to one another."""
        own = unit(self.vectors)
        scores = own @ own.T / self.temperature
        others = scores.masked_fill(torch.eye(len(own), dtype=torch.bool, device=own.device), -torch.inf)
        return (others.logsumexp(1) - math.log(len(own) - 1)).mean()

    def labels(self, table: Rows) -> Float[Tensor, ""]:
        """Cross-entropy of rows with a label; zero where there are none."""
        label = read(table.columns, "label", "rows").long()
        if len(label) and int(label.max()) >= len(self.vectors):
            raise DataError(
                f"class {int(label.max())} has none of {len(self.vectors)} prototypes",
                where="column 'label'",
                remedy="number the known classes from 0, and ask for as many prototypes as there are classes in all",
            )
        known = label >= 0
        logs = torch.log_softmax(self(table.vectors) / self.temperature, 1)
        if not bool(known.any()):
            return logs.sum() * 0
        return functional.nll_loss(logs[known], label[known])

    @torch.no_grad()
    def update(self, *tables: Rows) -> None:
        """Once after each optimiser step."""
        self.steps += 1


def _looks(table: Rows) -> tuple[Tensor, Tensor]:
    """Vectors [n d] of the first look at each record and of the second, in one order."""
    record, view = (read(table.columns, name, "rows") for name in ("record", "view"))
    first, second = ((view == v).nonzero()[:, 0] for v in (0, 1))
    first, second = (rows[record[rows].argsort(stable=True)] for rows in (first, second))
    if len(first) + len(second) != len(record) or not torch.equal(record[first], record[second]):
        raise UsageError(
            "some record has not exactly two looks",
            where="prototype_discovery",
            remedy="give a stream with copies=2, its views numbered 0 and 1",
        )
    return table.vectors[first], table.vectors[second]


def prototype_discovery(
    prototypes: int,
    dimension: int,
    *,
    temperature: float = 0.1,
    sharp: float = 0.05,
    balance: float = 2.0,
    separation: float = 1.0,
    supervised: float = 0.35,
    least: float = 0.2,
    waiting: int = 0,
    growing: int = 1000,
    stream: str = "x",
    seed: int = 0,
) -> Objective:
    """The four terms by their names, on one stream [2 n d].

    prototypes   as many as there are classes, known and new
    dimension    of the vectors
    temperature  of the opinions that learn; `sharp` of those that teach
    balance, separation, supervised   weights
    least        the share of rows that are taken at their word at first
    waiting      steps before the share begins to grow, as where these terms have no weight at first
    growing      steps from then until all are

    Raises UsageError for numbers out of range, and, when it is computed, for records without exactly two looks; DataError for a
    label beyond the prototypes.

    >>> import torch, nearfar as nf
    >>> made = nf.prototype_discovery(4, 8)
    >>> rows = nf.rows(torch.ones(6, 8), record=[0, 1, 2] * 2, view=[0, 0, 0, 1, 1, 1], label=[0, 1, -1] * 2)
    >>> sorted(made.terms), bool(nf.contrast(made, rows) > 0)
    (['balance', 'distillation', 'labels', 'separation'], True)
    """
    checks = {
        "prototypes": prototypes >= 2,
        "dimension": dimension >= 1,
        "temperature": temperature > 0,
        "sharp": sharp > 0,
        "balance": balance >= 0,
        "separation": separation >= 0,
        "supervised": 0 <= supervised <= 1,
        "least": 0 <= least <= 1,
        "waiting": waiting >= 0,
        "growing": growing >= 1,
    }
    if wrong := [name for name, right in checks.items() if not right]:
        raise UsageError(
            f"{', '.join(wrong)} out of range",
            where="prototype_discovery",
            remedy="two prototypes or more, temperatures above zero, shares from 0 to 1, no negative weight",
        )
    made = Discovery(prototypes, dimension, temperature, sharp, least, waiting, growing, seed)
    terms = {name: getattr(made, name) for name in ("distillation", "balance", "separation", "labels")}
    alone = 1 - supervised
    return Objective(
        {name: OnRows(term, (stream,), state=(made,)) for name, term in terms.items()},
        {"distillation": alone, "balance": alone * balance, "separation": alone * separation, "labels": supervised},
    )
