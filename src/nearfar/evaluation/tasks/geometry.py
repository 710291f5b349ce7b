"""Task `geometry`: how the vectors of records lie - evenly or not, in how many directions, with which hubs.

One entry a probe, "TASK/PROBE". Some have a value for every record, and so an interval; a spectrum or a rank is one figure of all records
together, and has none.
"""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.evaluation.task import Found, TaskSettings, Work, check_names, named
from nearfar.probes.alignment_uniformity import alignment_uniformity
from nearfar.probes.conformity import conformity
from nearfar.probes.dimensional_collapse import dimensional_collapse
from nearfar.probes.ellipsoid import ellipsoid
from nearfar.probes.hubness import hubness
from nearfar.probes.iso_score import iso_score
from nearfar.probes.outcome import Outcome
from nearfar.probes.partition_isotropy import partition_isotropy
from nearfar.probes.rank_me import rank_me
from nearfar.probes.spectrum import spectrum

COLUMNS = {"record": "text"}
PROBES = {
    "uniformity": alignment_uniformity,
    "conformity": conformity,
    "dimensional_collapse": dimensional_collapse,
    "ellipsoid": ellipsoid,
    "hubness": hubness,
    "iso_score": iso_score,
    "partition_isotropy": partition_isotropy,
    "rank_me": rank_me,
    "spectrum": spectrum,
}


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """probes: which of them are wanted; k: neighbours of hubness."""

    probes: tuple[str, ...] = tuple(PROBES)
    k: int = 10


def files(work: Work) -> None:
    """Read all files."""
    check_names(work.settings.probes, PROBES, "probes", "probe of geometry")
    work.table()


def measure(work: Work) -> dict[str, Found]:
    """What each probe finds."""
    records = work.table()["record"]
    vectors = work.vectors(records)
    made: dict[str, Found] = {}
    for name in work.settings.probes:
        found = hubness(vectors, k=work.settings.k) if name == "hubness" else PROBES[name](vectors)
        made[name] = named(found, records) if isinstance(found, Outcome) else found
    return made
