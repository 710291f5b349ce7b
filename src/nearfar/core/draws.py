"""Chance without a generator: every draw is a function of (seed, purpose, step, ids), the same in any order, tile, rank and process.

A counter is hashed instead of a state being moved on, so a draw can be made where it is needed: record 17's third coefficient of
step 40 is one number, whoever asks for it and however the batch is cut. Uniform draws are exact to the bit on every device;
normal and beta draws are functions of them, equal up to the last digit of the device's logarithm.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows

Id = Tensor | int

# Constants of splitmix64 (Steele, Lea and Flood 2014), as signed numbers: torch has no unsigned arithmetic, and wraps around.
_STEP, _FIRST, _SECOND = (n - 2**64 for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))

# One draw in twenty is refused at worst, so a draw that is refused this often does not happen.
_ATTEMPTS = 24


def uniform(seed: int, purpose: str, *ids: Id) -> Tensor:
    """Draws in (0, 1), float64: one for each tuple of ids, which are whole numbers or tensors of them that broadcast.

    >>> record = torch.tensor([17, 4])
    >>> both, one = uniform(0, "demo", 5, record), uniform(0, "demo", 5, record[:1])
    >>> bool(both[0] == one[0]), uniform(0, "demo", record[:, None], torch.arange(3)).shape
    (True, torch.Size([2, 3]))
    """
    return ((_hashed(seed, purpose, ids) >> 11 & (2**53 - 1)).double() + 0.5) * 2.0**-53


def normal(seed: int, purpose: str, *ids: Id) -> Tensor:
    """Draws of mean 0 and variance 1, float64, one for each tuple of ids."""
    radius = (-2 * uniform(seed, f"{purpose}, radius", *ids).log()).sqrt()
    return radius * (2 * math.pi * uniform(seed, f"{purpose}, angle", *ids)).cos()


def beta(a: float, b: float, seed: int, purpose: str, *ids: Id) -> Tensor:
    """Draws of the beta distribution, float64, one for each tuple of ids; a = b = 1 is uniform.

    Raises UsageError for a parameter that is not positive.
    """
    if not (a > 0 and b > 0):
        raise UsageError(f"a beta distribution of {a} and {b}", remedy="give two numbers above zero")
    first, second = _gamma(a, seed, f"{purpose}, first", ids), _gamma(b, seed, f"{purpose}, second", ids)
    return first / (first + second)


def row_ids(table: Rows) -> Tensor:
    """[r] int64: what the chance of a row belongs to - its record and, if it has one, its view; never its place in the batch.

    Raises UsageError for rows without a column `record`.
    """
    if "record" not in table.columns:
        raise UsageError(
            "rows without a column 'record' have nothing that chance could belong to",
            remedy="make them by nf.rows(vectors, record=...)",
        )
    record = table.columns["record"].long()
    return _mix(record) + table.columns["view"].long() if "view" in table.columns else record


@dataclass(frozen=True, eq=False)
class Draws:
    """The chance of n records in one view of one epoch: what a view draws from, and nothing else.

    Every draw is a function of (seed, epoch, record, view, purpose): never of the batch, the worker, the rank or the order.

    seed, epoch  of the run
    record       [n] int64, the records' ids
    view         the number of the view, or [n] of them

    >>> draws = Draws(0, epoch=1, record=torch.tensor([17, 4]), view=0)
    >>> draws.uniform("angle").shape, draws.uniform("box", 4).shape
    (torch.Size([2]), torch.Size([2, 4]))
    >>> bool((draws.take([1]).uniform("angle") == draws.uniform("angle")[1]).all())
    True
    """

    seed: int
    epoch: int
    record: Tensor
    view: int | Tensor = 0

    def __len__(self) -> int:
        return len(self.record)

    def uniform(self, purpose: str, count: int | None = None) -> Tensor:
        """[n] float64 in (0, 1), or [n count]."""
        return uniform(self.seed, purpose, *self._ids(count))

    def normal(self, purpose: str, count: int | None = None) -> Tensor:
        """[n] float64 of mean 0 and variance 1, or [n count]."""
        return normal(self.seed, purpose, *self._ids(count))

    def integers(self, purpose: str, below: int | Tensor, count: int | None = None) -> Tensor:
        """[n] int64 from 0 to below - 1, or [n count]; `below` one number, or one a record (at least 1)."""
        most = torch.as_tensor(below)
        if count is not None and most.ndim:
            most = most[:, None]
        return (self.uniform(purpose, count) * most).long().clamp_max(most - 1)

    def each(self, purpose: str, sizes: Sequence[int] | Tensor) -> list[Tensor]:
        """n tensors of uniform draws, the i-th of size sizes[i]: one a word, an edge, an item. More items change no earlier draw."""
        size = torch.as_tensor(sizes, dtype=torch.long)
        owner = torch.arange(len(self)).repeat_interleave(size)
        place = torch.arange(len(owner)) - (size.cumsum(0) - size)[owner]
        view = self.view[owner] if isinstance(self.view, Tensor) else self.view
        flat = uniform(self.seed, purpose, self.epoch, self.record[owner], view, place)
        return list(flat.split(size.tolist()))

    def take(self, index: Any) -> Draws:
        """The draws of the records at `index`."""
        view = self.view[index] if isinstance(self.view, Tensor) else self.view
        return Draws(self.seed, self.epoch, self.record[index], view)

    def items(self, count: int) -> Draws:
        """The draws of `count` items of each record, those of the first record first: the chance of an item is its own."""
        record = (_mix(self.record)[:, None] + torch.arange(count, device=self.record.device)).flatten()
        view = self.view.repeat_interleave(count) if isinstance(self.view, Tensor) else self.view
        return Draws(self.seed, self.epoch, record, view)

    def at(self, place: int) -> Draws:
        """The draws of the view at a place in a chain of views: the same view twice does not draw the same twice."""
        return self if not place else replace(self, seed=(self.seed + place * _STEP) % 2**63)

    def _ids(self, count: int | None) -> tuple[Id, ...]:
        view = self.view
        if count is None:
            return self.epoch, self.record, view
        return (
            self.epoch,
            self.record[:, None],
            view[:, None] if isinstance(view, Tensor) else view,
            torch.arange(count),
        )


class Chance(nn.Module):
    """A part that draws: its seed, and the step as state, which moves in `update` and nowhere else.

    Two evaluations between updates see the same draws; a checkpoint restores the step, and with it the draws.
    """

    step: Tensor

    def __init__(self, purpose: str, seed: int) -> None:
        super().__init__()
        self.purpose, self.seed = purpose, seed
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def uniform(self, what: str, *ids: Id) -> Tensor:
        """Uniform draws of this step."""
        return uniform(self.seed, f"{self.purpose}, {what}", self.step, *ids)

    def normal(self, what: str, *ids: Id) -> Tensor:
        """Normal draws of this step."""
        return normal(self.seed, f"{self.purpose}, {what}", self.step, *ids)

    def beta(self, a: float, b: float, what: str, *ids: Id) -> Tensor:
        """Beta draws of this step."""
        return beta(a, b, self.seed, f"{self.purpose}, {what}", self.step, *ids)

    @torch.no_grad()
    def update(self, keys: Rows | None = None) -> None:
        """Once after each optimiser step: the next step has other draws."""
        self.step += 1


def _hashed(seed: int, purpose: str, ids: tuple[Id, ...]) -> Tensor:
    digest = hashlib.blake2b(f"{purpose} {seed}".encode(), digest_size=8).digest()
    device = next((i.device for i in ids if isinstance(i, Tensor) and i.ndim), torch.device("cpu"))
    mixed = torch.tensor(int.from_bytes(digest, "big", signed=True), device=device)
    for i in ids:
        # One after the other, so that (record 1, draw 2) is not (record 2, draw 1).
        mixed = _mix(mixed + _mix(torch.as_tensor(i, device=device).long()))
    return mixed


def _mix(number: Tensor) -> Tensor:
    """Splitmix64's finaliser: every bit of the result depends on every bit of the number."""
    z = number + _STEP
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def _shifted(number: Tensor, bits: int) -> Tensor:
    """A logical shift to the right; torch's own copies the sign."""
    return number >> bits & (2 ** (64 - bits) - 1)


def _gamma(shape: float, seed: int, purpose: str, ids: tuple[Id, ...]) -> Tensor:
    """Gamma draws by Marsaglia and Tsang 2000, their attempts numbered: rejection without a generator."""
    # Below one the density has no bound at zero; a draw of shape + 1 is then scaled down.
    d = (shape + 1 if shape < 1 else shape) - 1 / 3
    c = 1 / math.sqrt(9 * d)
    made = torch.full_like(_hashed(seed, purpose, ids), torch.nan, dtype=torch.float64)
    for attempt in range(_ATTEMPTS):
        x = normal(seed, f"{purpose}, x", *ids, attempt)
        u = uniform(seed, f"{purpose}, u", *ids, attempt)
        v = (1 + c * x).clamp_min(0) ** 3
        accepted = (v > 0) & (u.log() < 0.5 * x * x + d - d * v + d * v.clamp_min(1e-300).log())
        made = torch.where(made.isnan() & accepted, d * v, made)
        if not bool(made.isnan().any()):
            break
    return made * uniform(seed, f"{purpose}, boost", *ids) ** (1 / shape) if shape < 1 else made
