"""The stored outcome of a claim: every trial with its figures, what was chosen, the comparisons, the verdict, and where it was run.

One JSON file a claim under `claims/results/`, written whole after every few trials, so that a run that is stopped goes on where it was.
Tables and pages are rendered from these files and from nothing else.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nearfar
from nearfar.core.claim import Claim
from nearfar.core.files import read_json, write_text

FORMAT, VERSION = "nearfar-claim", 1
RESULTS = Path("claims", "results")


@dataclass
class ClaimRecord:
    """What is known of a claim so far.

    trials       key -> {"arm", "seed", "split", "chosen", "figures", "seconds"}
    chosen       arm -> the settings that tuning chose
    comparisons  each {"comparison", "difference", "low", "high", "p_value", "n", "verdict"}
    verdict      "" until all trials are done
    """

    name: str
    fingerprint: str
    data: str
    claim: Mapping[str, Any]
    metric: str = ""
    trials: dict[str, dict[str, Any]] = field(default_factory=dict)
    chosen: dict[str, dict[str, Any]] = field(default_factory=dict)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    means: dict[str, float] = field(default_factory=dict)
    verdict: str = ""
    nearfar: str = nearfar.__version__
    machine: dict[str, str] = field(default_factory=dict)
    date: str = ""

    @property
    def seconds(self) -> float:
        """Core seconds of all trials."""
        return sum(trial["seconds"] for trial in self.trials.values())

    def figures(self, arm: str, seeds: Iterable[int], metric: str) -> list[float]:
        """The metric of an arm's final trials, in the order of seeds."""
        mine = {
            t["seed"]: t["figures"][metric] for t in self.trials.values() if t["arm"] == arm and t["split"] == "test"
        }
        return [mine[seed] for seed in seeds]


def new_record(name: str, fingerprint: str, data: str, claim: Claim) -> ClaimRecord:
    """An empty record of what is about to be run."""
    return ClaimRecord(name, fingerprint, data, told(claim), machine=_machine(), date=time.strftime("%Y-%m-%d"))


def told(claim: Claim) -> dict[str, Any]:
    """What a reader of the record should know of the claim."""
    names = ("text", "expect", "data", "margin", "unit", "n", "source", "scale")
    arms = {
        name: {
            "recipe": arm.recipe if isinstance(arm.recipe, str) else arm.recipe.__name__,
            "settings": dict(arm.settings),
            "options": dict(arm.options),
        }
        for name, arm in claim.arms.items()
    }
    measure = None if claim.measure is None else {"part": claim.measure.part, "options": dict(claim.measure.options)}
    return {n: getattr(claim, n) for n in names} | {
        "arms": arms,
        "both": dict(claim.both),
        "tune": {k: list(v) for k, v in claim.tune.items()},
        "measure": measure,
    }


def place(folder: Path, name: str) -> Path:
    """The file of a claim's record."""
    return folder / f"{name}.json"


def read_record(path: Path) -> ClaimRecord | None:
    """The stored record, None where there is none. Raises DataError for a damaged file or one of another version."""
    if not path.is_file():
        return None
    data = read_json(path, format=FORMAT, version=VERSION)
    return ClaimRecord(**{k: v for k, v in data.items() if k not in ("format", "version", "seconds")})


def write_record(record: ClaimRecord, path: Path) -> None:
    """Store it, whole or not at all."""
    data = {"format": FORMAT, "version": VERSION, **asdict(record), "seconds": round(record.seconds, 1)}
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def stored(folder: Path) -> dict[str, ClaimRecord]:
    """All records of a folder by name."""
    read = {path.stem: read_record(path) for path in sorted(folder.glob("*.json"))}
    return {name: record for name, record in read.items() if record is not None}


def _machine() -> dict[str, str]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "python": platform.python_version(),
        "torch": version("torch").split("+")[0],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
