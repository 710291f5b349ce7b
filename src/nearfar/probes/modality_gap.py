"""The modality gap: two kinds of records lie in two places of the space, and what happens when they are moved together.

        D = mean x - mean y,    gap = |D|                                     |x_i| = |y_i| = 1
        shift by s:   x - s/2 D,   y + s/2 D,   each brought to length one    s = 0 as trained, 1 closed, below 0 wider

The gap is there at the start, when two towers are two cones, and a loss with a low temperature keeps it. `gap_sweep` follows the loss and
what one likes along the path: closing it may help or harm. Untrained towers are separable too, so separability alone proves
nothing. Kin: `conformity` (the gap that matches both distributions), `vital_signs` (the squared gap of a training step).
Source: Liang, Zhang, Kwon, Yeung and Zou 2022 (arXiv 2203.02053), sections 2 and 4; they state the shift as a distance along D / |D|,
which is s |D| here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.maths.rank_correlation import average_ranks
from nearfar.probes.conformity import conformity_divergence
from nearfar.probes.figures import Figures
from nearfar.probes.outcome import Columns, Outcome
from nearfar.probes.shared.tensors import TILE_BYTES, as_array, directions, strips

CARD = Card(
    name="modality_gap",
    summary="how far two modalities lie apart, and what closing the gap does",
    related=("conformity", "alignment_uniformity", "vital_signs"),
    public=("modality_gap", "gap_sweep", "shift_gap"),
    papers=("2203.02053",),
)

Measure = Callable[[Tensor, Tensor], float]
"""(x [n d], y [n d]) of length one -> a figure."""

SHIFTS = tuple(float(s) for s in np.linspace(-1, 2, 13))


def modality_gap(x: Any, y: Any) -> Outcome:
    """The gap between x [n d] and y [n d], whose rows i belong together.

    gap          |D|; the column is (x_i - y_i) . D / |D|, whose mean it is
    pair_cosine  x_i . y_i
    separation   chance that a random x lies further along D than a random y: 1 is separable, 0.5 not at all. The direction comes from
                 the other half of the pairs (odd and even rows), so that noise separates nothing

    >>> import torch
    >>> x = torch.tensor([[0.6, 0.8], [0.6, -0.8], [0.6, 0.8], [0.6, -0.8]])
    >>> {name: round(value, 6) for name, value in modality_gap(x, x * torch.tensor([-1.0, 1.0])).figures().items()}
    {'gap': 1.2, 'pair_cosine': 0.28, 'separation': 1.0}

    Raises UsageError for tables of different shapes; DataError for NaN, vectors of zeros, and fewer than four pairs.
    """
    first, second = _pair(x, y, 4)
    apart = first - second
    gap = apart.mean(0)
    length = gap.norm()
    sides = np.empty((2, len(first)))
    for half in (0, 1):
        other = slice(1 - half, None, 2)
        along, middle = apart[other].mean(0), (first[other] + second[other]).mean(0) / 2
        along = along / along.norm().clamp_min(1e-300)
        for side, table in enumerate((first, second)):
            sides[side, half::2] = as_array((table[half::2] - middle) @ along)
    return Outcome(
        "modality_gap",
        "gap",
        "pairs",
        {
            "gap": as_array(apart @ (gap / length if float(length) > 0 else gap)),
            "pair_cosine": as_array((first * second).sum(1)),
            "x_along": sides[0],
            "y_along": sides[1],
        },
        means=("gap", "pair_cosine"),
        metrics=METRICS,
        higher={"gap": False, "separation": False},
        facts={"pairs": len(first), "dimension": first.shape[1]},
    )


def separation(columns: Columns) -> float:
    """Area under the ROC curve of x_along against y_along, ties as a half."""
    x, y = columns["x_along"], columns["y_along"]
    ranks = average_ranks(np.concatenate([x, y]))
    return float((ranks[: len(x)].sum() - len(x) * (len(x) + 1) / 2) / (len(x) * len(y)))


METRICS = {"separation": separation}


def shift_gap(x: Any, y: Any, shift: float = 1.0) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
    """Both sides moved by a share of the gap towards one another (1: their means meet, before length is restored), of length one.

    >>> import torch
    >>> x = torch.tensor([[0.6, 0.8], [0.6, -0.8]], dtype=torch.float64)
    >>> moved, _ = shift_gap(x, x * torch.tensor([-1.0, 1.0]))
    >>> moved.round(decimals=6).tolist()
    [[0.0, 1.0], [0.0, -1.0]]

    Raises UsageError for tables of different shapes; DataError for NaN, and for a vector that the shift makes zero.
    """
    first, second = _pair(x, y, 2)
    half = (first.mean(0) - second.mean(0)) * (shift / 2)
    return directions(first - half, "x"), directions(second + half, "y")


def gap_sweep(
    x: Any,
    y: Any,
    shifts: Sequence[float] = SHIFTS,
    *,
    measures: Mapping[str, Measure] | None = None,
    temperature: float = 0.01,
    tile_bytes: int = TILE_BYTES,
) -> Figures:
    """Measures along the path that closes or widens the gap between x [n d] and y [n d], as one curve each over `shift`.

    Always measured are the gap, the loss (InfoNCE both ways at this `temperature`: give the one of the training; 0.01 is where CLIP
    ends), found_first (share of x whose nearest y is its own; equals count fairly) and conformity_divergence. The values say at
    which shift loss and divergence are least, and what both are as trained (shift 0) and closed (shift 1).

    measures   further ones by name: function of the shifted x and y, both of length one -> float

    >>> import torch
    >>> x, y = torch.randn(2, 20, 6)
    >>> found = gap_sweep(x, y, [0.0, 1.0], measures={"pair": lambda x, y: float((x * y).sum(1).mean())})
    >>> list(found.curves)
    ['shift', 'gap', 'loss', 'found_first', 'conformity_divergence', 'pair']

    Raises UsageError for tables of different shapes, no shift, and a temperature that is not positive; DataError as `shift_gap`.
    """
    if not len(shifts) or not np.isfinite(shifts).all() or not temperature > 0:
        raise UsageError(
            f"{len(shifts)} shifts at temperature {temperature}",
            remedy="give shifts such as 0 and 1, and a positive one",
        )
    path = sorted({0.0, 1.0, *(float(s) for s in shifts)})
    rows = []
    for shift in path:
        a, b = shift_gap(x, y, shift)
        loss, first = _loss_and_first(a, b, temperature, tile_bytes)
        row = {"shift": shift, "gap": float((a.mean(0) - b.mean(0)).norm()), "loss": loss, "found_first": first}
        row["conformity_divergence"] = conformity_divergence(a, b).figure()
        rows.append(row | {name: float(measure(a, b)) for name, measure in (measures or {}).items()})
    curves = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    trained, closed = path.index(0.0), path.index(1.0)
    values = {"least_loss_at": path[int(curves["loss"].argmin())]}
    values["least_divergence_at"] = path[int(curves["conformity_divergence"].argmin())]
    for name in ("gap", "loss", "conformity_divergence"):
        values |= {f"{name}_as_trained": float(curves[name][trained]), f"{name}_closed": float(curves[name][closed])}
    lower = dict.fromkeys((name for name in values if not name.endswith("_at")), False)
    return Figures("gap_sweep", "least_loss_at", values, curves, lower, {"temperature": temperature})


def _pair(x: Any, y: Any, least: int) -> tuple[Tensor, Tensor]:
    first = directions(x, "x", least)
    return first.double(), directions(y, "y", least, length=len(first), width=first.shape[1]).double()


def _loss_and_first(x: Tensor, y: Tensor, temperature: float, tile_bytes: int) -> tuple[float, float]:
    """InfoNCE of both ways together, and the share of x that find their own y first."""
    n = len(x)
    own = (x * y).sum(1)
    forward, backward = [], torch.full((n,), -torch.inf, dtype=x.dtype)
    first: NDArray[np.float64] = np.empty(n)
    for rows in strips(n, n, tile_bytes):
        table = x[rows] @ y.T
        mine = table.diagonal(rows.start)
        above, level = (table > mine[:, None]).sum(1), (table == mine[:, None]).sum(1)
        first[rows] = as_array(torch.where(above > 0, 0.0, 1 / level))
        table = table / temperature
        forward.append(table.logsumexp(1))
        backward = torch.logaddexp(backward, table.logsumexp(0))
    loss = (torch.cat(forward) + backward).mean() / 2 - own.mean() / temperature
    return float(loss), float(first.mean())
