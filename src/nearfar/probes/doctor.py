"""The doctor: reads what a run wrote about its steps and says what is wrong with it, why, and what to type.

`diagnose(entries, config)` judges a finished run; `watch = Doctor(config)`, called with each entry, tells a finding when it shows,
once. Both read the same bounded summary of the run. An entry is a line of metrics.jsonl: {stage, step, loss, rate, ...}, every so
often with the figures of `vital_signs` in it, or {stage, step, mrr or dev_loss} where held-out records were measured.

Precision first: a doctor that cries wolf is switched off. So a limit is never "unusual" but "cannot be meant", it is stated with its
reason in `nearfar.probes.doctor_checks`, every condition of a check must be past its limit, at two measurements in a row, and only what was measured is
judged. How far past is kept with the finding (`excess`: 1 is the limit), and `Doctor.readings()` has it for the checks that stay
silent.
Source: the temperature's bound is that of Radford et al. 2021 (arXiv 2103.00020), who keep logits below 100; saturation of the softmax
at low temperatures: Wang and Liu 2020 (arXiv 2012.09740); collapse to few dimensions: Jing et al. 2021 (arXiv 2110.09348).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from nearfar.core.card import Card
from nearfar.probes.doctor_checks import CHECKS, EXPLAINS, Check, Reading
from nearfar.probes.doctor_history import History, Seen, Settings

CARD = Card(
    name="doctor",
    summary="findings about a run with cause and remedy: chance level, collapse, saturation, bad pairs, bad rates",
    related=("vital_signs", "similarity_histogram"),
    public=("diagnose", "Doctor", "Finding"),
)


@dataclass(frozen=True)
class Finding:
    """What is wrong: what was seen, the likely cause, one remedy, and the steps it was seen in.

    severity  "error": nothing useful is learned like this; "warning": less than could be; "note": good to know
    evidence  the figures behind it; `excess` is how many times past its limit the nearest condition was
    """

    name: str
    severity: Literal["error", "warning", "note"]
    what: str
    cause: str
    remedy: str
    where: tuple[int, int]
    stage: str = ""
    evidence: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.severity}: {self.name}\n{self.text()}"

    def text(self) -> str:
        """What, where, why and what to do, a line each."""
        stage = f"{self.stage}, " if self.stage else ""
        steps = f"[{stage}steps {self.where[0]:,} to {self.where[1]:,}]"
        return f"   {self.what} {steps}\n   why: {self.cause}\n    do: {self.remedy}"

    def as_json(self) -> dict[str, Any]:
        """The finding as plain data."""
        return {**asdict(self), "where": list(self.where), "evidence": dict(self.evidence)}


def diagnose(entries: Iterable[Mapping[str, Any]], config: Mapping[str, Any] | None = None) -> list[Finding]:
    """Findings about a run that has ended: the worst first.

    `entries` are the lines of metrics.jsonl in their order (`Run.logged()`), `config` the run's config.json; without it remedies
    name no present values.

    >>> import nearfar as nf
    >>> entries = [{"stage": "fit", "step": i, "loss": 4.16, "scored_chance": 4.1589, "found_first": 0.016} for i in range(1, 60)]
    >>> [finding.name for finding in nf.diagnose(entries)]
    ['chance_level']
    """
    doctor = Doctor(config)
    for entry in entries:
        doctor.add(entry)
    return doctor.findings(ended=True)


class Doctor:
    """Watches a run: `watch = Doctor(config); new = watch(entry)`. Memory and work do not grow with the run.

    >>> import nearfar as nf
    >>> watch = nf.Doctor()
    >>> new = watch({"stage": "fit", "step": 1, "loss": float("nan")})
    >>> new[0].name, watch({"stage": "fit", "step": 2, "loss": float("nan")})
    ('not_a_number', [])
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self._config = config or {}
        self._stages: dict[str, History] = {}
        self._told: set[tuple[str, str]] = set()

    def __call__(self, entry: Mapping[str, Any]) -> list[Finding]:
        """Take in an entry; findings that were not told before."""
        if not self.add(entry):
            return []
        stage = str(entry.get("stage", ""))
        new = [f for f in self.findings(stages=(stage,)) if (f.stage, f.name) not in self._told]
        self._told |= {(f.stage, f.name) for f in new}
        return new

    def add(self, entry: Mapping[str, Any]) -> bool:
        """Take in an entry without judging it (those of an interrupted run, say); whether it says something worth a look."""
        stage = str(entry.get("stage", ""))
        if not isinstance(entry.get("step"), (int, float)):
            return False
        return self._stages.setdefault(stage, History()).add(entry)

    def findings(self, *, ended: bool = False, stages: Sequence[str] | None = None) -> list[Finding]:
        """All findings at this moment, the worst first; what explains another stands for it."""
        found = []
        for stage in self._stages if stages is None else stages:
            made: dict[str, tuple[Check, Reading]] = {}
            for check, reading in self._readings(stage, ended):
                if reading.excess > max(1.0, made[check.name][1].excess if check.name in made else 0.0):
                    made[check.name] = check, reading
            hidden = {n for name in made for n in EXPLAINS.get(name, ())}
            found += [_finding(c, r, self._stages[stage], stage) for c, r in made.values() if c.name not in hidden]
        return sorted(found, key=lambda f: ("error", "warning", "note").index(f.severity))

    def readings(self, *, ended: bool = True) -> dict[str, float]:
        """How far each check is from its finding, the furthest of all stages: 1 is the limit, 0.5 half-way there."""
        found: dict[str, float] = {}
        for stage in self._stages:
            for check, reading in self._readings(stage, ended):
                found[check.name] = max(found.get(check.name, 0.0), reading.excess)
        return found

    def steps(self) -> dict[str, int]:
        """The last step of each stage."""
        return {name: history.last for name, history in self._stages.items()}

    def unmeasured(self) -> list[str]:
        """What could not be judged, because no entry speaks of it."""
        seen = {name.partition("/")[0] for h in self._stages.values() for signs in h.signs for name in signs}
        wanted = {
            "mean_cosine": "collapse",
            "scored_chance": "chance level",
            "update_ratio": "how fast the weights move",
        }
        missing = [what for figure, what in wanted.items() if figure not in seen]
        return missing + ([] if any(h.held for h in self._stages.values()) else ["over-fitting (nothing was held out)"])

    def _readings(self, stage: str, ended: bool) -> Iterator[tuple[Check, Reading]]:
        seen = Seen(self._stages[stage], Settings(self._config, stage), ended)
        for check in CHECKS:
            for reading in check.look(seen):
                yield check, reading


def _finding(check: Check, reading: Reading, history: History, stage: str) -> Finding:
    signs = history.signs[-2:]
    start = reading.start if reading.start is not None else int(signs[0]["step"]) if signs else history.first
    evidence = {
        k: float(f"{v:.4g}") for k, v in {**reading.evidence, "excess": reading.excess}.items() if math.isfinite(v)
    }
    where = (min(start, history.last), history.last)
    return Finding(check.name, check.severity, reading.what, reading.cause, reading.remedy, where, stage, evidence)
