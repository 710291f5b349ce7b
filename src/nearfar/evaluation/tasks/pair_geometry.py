"""Task `pair_geometry`: how the two sides of pairs lie to one another - how near partners are, how far apart the sides, with which hubs.

One entry a probe, "TASK/PROBE".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nearfar.evaluation.task import Found, TaskSettings, Work, check_names, named
from nearfar.probes.alignment_uniformity import alignment_uniformity
from nearfar.probes.conformity import conformity_divergence
from nearfar.probes.hubness import hubness
from nearfar.probes.modality_gap import modality_gap
from nearfar.probes.outcome import Outcome

COLUMNS = {"first": "text", "second": "text"}
PROBES = ("alignment", "modality_gap", "hubness", "conformity_divergence")


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """probes: which of them are wanted; k: neighbours of hubness, which is that of the second side as the first one finds it."""

    probes: tuple[str, ...] = PROBES
    k: int = 10


def files(work: Work) -> None:
    """Read all files."""
    check_names(work.settings.probes, PROBES, "probes", "probe of pair_geometry")
    work.table()


def measure(work: Work) -> dict[str, Found]:
    """What each probe finds."""
    pairs = work.table()
    x, y = work.vectors(pairs["first"], "first"), work.vectors(pairs["second"], "second")
    both = [f"{a} | {b}" for a, b in zip(pairs["first"], pairs["second"], strict=True)]
    made: dict[str, Found] = {}
    for name in work.settings.probes:
        found = _measured(name, x, y, work.settings.k)
        names = pairs["second"] if name == "hubness" else both
        made[name] = named(found, names) if isinstance(found, Outcome) else found
    return made


def _measured(name: str, x: np.ndarray, y: np.ndarray, k: int) -> Found:
    if name == "alignment":
        return replace(alignment_uniformity(x, y), main="alignment")
    if name == "modality_gap":
        return modality_gap(x, y)
    return hubness(y, x, k=k) if name == "hubness" else conformity_divergence(x, y)
