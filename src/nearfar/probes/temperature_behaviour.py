"""How a contrastive loss behaves over its temperature: on fixed vectors, and over models trained at each.

        on fixed vectors      gradient shares of the negatives at each temperature (`negative_shares`)
        over models           uniformity and tolerance of each (`alignment_uniformity`, `tolerance`)

A low temperature puts the gradient on the hardest negatives, which makes vectors uniform and pushes records of one class apart; a
high one spreads it evenly. That the number of effective negatives grows with the temperature on fixed vectors is a theorem; that
models trained with it become less uniform and more tolerant is the paper's claim, and `uniformity_tolerance` shows whether it holds.
Source: Wang and Liu 2021 (arXiv 2012.09740), sections 3.2 to 3.4. The grid of temperatures is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.probes.alignment_uniformity import alignment_uniformity
from nearfar.probes.figures import Figures
from nearfar.probes.negative_shares import FIGURES, negative_shares
from nearfar.probes.tolerance import tolerance

CARD = Card(
    name="temperature_behaviour",
    summary="gradient shares over temperatures, and uniformity against tolerance of models trained at each",
    related=("negative_shares", "alignment_uniformity", "tolerance"),
    public=("temperature_behaviour", "uniformity_tolerance"),
    papers=("2012.09740",),
)

TEMPERATURES = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


def temperature_behaviour(
    queries: Any, keys: Any, temperatures: Sequence[float] = TEMPERATURES, *, labels: Any = None
) -> Figures:
    """Figures of `negative_shares` for queries [n d] and keys [n d] at each temperature, as curves over `temperature`.

    The values are the effective negatives at each, named by it.

    >>> import torch
    >>> x = torch.randn(30, 4)
    >>> found = temperature_behaviour(x, x, [1.0, 0.1])
    >>> list(found.values), bool(found.curves["effective_negatives"][0] < found.curves["effective_negatives"][1])
    (['effective_negatives@0.1', 'effective_negatives@1'], True)

    Raises UsageError for no temperature; else as `negative_shares` does.
    """
    grid = sorted({float(t) for t in temperatures})
    if not grid:
        raise UsageError("no temperature", where="temperatures", remedy="give some, as 0.05, 0.1 and 0.5")
    rows = [negative_shares(queries, keys, t, labels=labels).figures() for t in grid]
    curves = {"temperature": np.array(grid)} | {name: np.array([row[name] for row in rows]) for name in FIGURES}
    values = {f"effective_negatives@{t:g}": row["effective_negatives"] for t, row in zip(grid, rows, strict=True)}
    return Figures("temperature_behaviour", next(iter(values)), values, curves)


def uniformity_tolerance(models: Mapping[float, Any], labels: Any) -> Figures:
    """Uniformity and tolerance of vectors [n d] of the same records from models trained at several temperatures.

    models   temperature -> vectors; labels [n] are those of the records

    The curves are over `temperature`: uniformity (more negative is more uniform), tolerance as printed, and `within`, the mean cosine
    of a class. The values are the same, named by temperature.

    >>> import torch
    >>> spread, narrow = torch.eye(4), torch.eye(4) + 1
    >>> found = uniformity_tolerance({0.1: spread, 1.0: narrow}, [0, 0, 1, 1])
    >>> [round(value, 3) for value in found.curves["within"].tolist()]
    [0.0, 0.857]

    Raises UsageError for no model and for tables of different length; else as `alignment_uniformity` and `tolerance` do.
    """
    if not models:
        raise UsageError("no model", where="models", remedy="give vectors by temperature: {0.1: ..., 0.5: ...}")
    grid = sorted(models)
    rows = [alignment_uniformity(models[t]).figures() | tolerance(models[t], labels).figures() for t in grid]
    names = ("uniformity", "tolerance", "within")
    curves = {"temperature": np.array(grid, float)} | {n: np.array([row[n] for row in rows]) for n in names}
    values = {f"{name}@{t:g}": row[name] for name in names for t, row in zip(grid, rows, strict=True)}
    lower = {name: False for name in values if name.startswith("uniformity")}
    return Figures("uniformity_tolerance", next(iter(values)), values, curves, lower)
