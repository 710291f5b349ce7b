"""The report of one training run, or of two beside each other: what was trained, how the loss fell, what it is worth, what it looks like.

Everything is made of what the run wrote down (its log, its outcomes, its sample), so that it can be made again at any time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.cli.run_sample import OTHER_LOOK, sample_of
from nearfar.core.errors import DataError, UsageError
from nearfar.core.files import read_json
from nearfar.core.model import DESCRIPTION
from nearfar.core.model import FORMAT as MODEL
from nearfar.core.model import VERSION as MODEL_VERSION
from nearfar.probes.doctor import Doctor
from nearfar.probes.matched import matched
from nearfar.probes.outcome import Outcome
from nearfar.probes.statistics import Interval, bootstrap, paired
from nearfar.probes.stored_outcomes import has_outcomes, load_outcomes
from nearfar.report.page import write
from nearfar.report.projection import effective_rank, neighbours, principal, t_sne
from nearfar.report.sample import Sample, has_sample
from nearfar.report.sections import (
    Answered,
    Comparison,
    Curve,
    Difference,
    Findings,
    Histogram,
    Map,
    Queries,
    Report,
    Section,
    Spectrum,
    Table,
)
from nearfar.training.run import Run
from nearfar.training.stored_held_out import HELD_OUT
from nearfar.training.train import Trained

SAMPLE = "sample"
METRICS = {"MRR": "mrr", "found first": "hit@1", "recall@10": "recall@10"}  # title -> of an outcome
METHODS = {"pca": "PCA", "tsne": "t-SNE"}
NEAR_AND_FAR = "Cosine similarity of held-out records to what belongs to them (near) and to all others (far)."
DIFFERING = 6  # queries that one of two runs answers much better


@dataclass(frozen=True)
class Look:
    """How the maps are drawn: which column they are coloured by ("" for the usual one), and by which method."""

    color_by: str = ""
    method: str = "pca"


@dataclass(frozen=True)
class Written:
    """What a run wrote down; `name` tells it from another one."""

    run: Run
    name: str

    @cached_property
    def about(self) -> dict[str, Any]:
        """What its model says of itself; what the run began with where it has no model."""
        if not (self.run.model / DESCRIPTION).exists():
            return dict(self.run.config)
        return read_json(self.run.model / DESCRIPTION, format=MODEL, version=MODEL_VERSION)["about"]

    @cached_property
    def logged(self) -> list[dict[str, Any]]:
        return self.run.logged()

    @cached_property
    def outcome(self) -> Outcome | None:
        """What every held-out query got."""
        return load_outcomes(self.run.directory)[0].get(HELD_OUT) if has_outcomes(self.run.directory) else None

    @cached_property
    def sample(self) -> Sample | None:
        place = self.run.directory / SAMPLE
        return Sample.load(place) if has_sample(place) else None


def write_run_report(made: Trained) -> Path:
    """Keep the run's sample and render `report.html` into its directory; returns the path.

    A model that cannot encode its records one by one has a report without a map, and standard error says why.
    """
    try:
        sample_of(made).save(made.run.directory / SAMPLE)
    except Exception as error:  # noqa: BLE001 - an encoder of the user's own may raise anything, and the run is done
        print(f"note: the report has no map: {type(error).__name__}: {error}", file=sys.stderr)
    return write(run_page(Written(made.run, made.run.directory.name)), made.run.report)


def run_page(written: Written, look: Look = Look()) -> Report:
    """The report of one run. Raises UsageError for a column to colour by that is not there."""
    about, sample = written.about, written.sample
    figures = about.get("held_out") or {}
    sections: list[Section] = []
    if figures:
        sections.append(_figures(written, figures))
    sections += [_findings(written, "What the doctor says")] if written.logged else []
    if sample is not None:
        sections.append(_map(sample, "The embedding", look))
        if any(sample.examples.values()):
            sections.append(_examples(sample, figures["queries"]))
    sections += _curves(written)
    if sample is not None and sample.near is not None:
        sections.append(
            Histogram(
                "Near and far",
                {"held-out records": sample.near},
                note=NEAR_AND_FAR,
            )
        )
    if sample is not None:
        sections.append(_spectrum({written.name: sample}))
    sections.append(Table("Settings", ("setting", "value"), _settings_of(written), folded=True))
    return Report(
        title=f"Run {written.name}",
        subtitle=f"{about['recipe']['name']} on {about['data']['source']}",
        facts=_facts(written, figures),
        sections=sections,
    )


def comparison_page(ours: Written, rival: Written, look: Look = Look()) -> Report:
    """The report of two runs on the same held-out queries. Raises UsageError where they have none in common."""
    a, b = ours.outcome, rival.outcome
    if a is None or b is None:
        raise UsageError(
            "this run kept no outcomes of held-out queries to compare",
            where=str((ours if a is None else rival).run.directory),
            remedy="let the training end, with some records held out",
        )
    rows, columns = _shared(a, b)
    metrics, differences = {}, []
    for title, metric in METRICS.items():
        x, y = a.columns[metric][rows], b.columns[metric][columns]
        metrics[title] = {ours.name: bootstrap(x), rival.name: bootstrap(y)}
        differences.append(Difference(ours.name, rival.name, paired(x, y), title))
    first = differences[0].paired
    samples = {one.name: one.sample for one in (ours, rival) if one.sample is not None}
    note = f"{len(rows):,} held-out queries that both runs were measured on; whiskers are 95 % bootstrap intervals."
    sections: list[Section] = [
        Comparison("Held-out queries", metrics, differences, highlight=ours.name, note=note),
        _differing((ours.name, a, rows), (rival.name, b, columns)),
        *_curves(ours, rival),
        *_both_near(ours, rival),
        *(_map(sample, f"The embedding of {name}", look) for name, sample in samples.items()),
        *([_spectrum(samples)] if samples else []),
        _findings(ours, f"What the doctor says of {ours.name}"),
        _findings(rival, f"What the doctor says of {rival.name}"),
        Table("Settings that differ", ("setting", ours.name, rival.name), _differing_settings(ours, rival)),
    ]
    return Report(
        title=f"{ours.name} against {rival.name}",
        subtitle=f"{ours.about['recipe']['name']} and {rival.about['recipe']['name']} on {ours.about['data']['source']}",
        verdict=first.sentence(ours.name, rival.name),
        good={"better": True, "worse": False}.get(first.verdict),
        facts={
            f"MRR of {ours.name}": metrics["MRR"][ours.name],
            f"MRR of {rival.name}": metrics["MRR"][rival.name],
            "queries": len(rows),
        },
        sections=sections,
    )


def _both_near(*runs: Written) -> list[Section]:
    panels = {w.name: w.sample.near for w in runs if w.sample is not None and w.sample.near is not None}
    return [Histogram("Near and far", panels, note=NEAR_AND_FAR)] if panels else []


def _figures(written: Written, figures: Mapping[str, Any]) -> Comparison:
    kind = "pairs" if written.about["recipe"]["data"] == "pairs" else "records"
    outcome = written.outcome
    if outcome is not None and len(outcome) > 1:
        metrics = {title: {"this model": bootstrap(outcome.columns[name])} for title, name in METRICS.items()}
    else:
        shown = {"MRR": "mrr", "recall@10": "recall@10"}
        metrics = {title: {"this model": Interval(**figures[name])} for title, name in shown.items()}
    note = f"{figures['queries']:,} queries; whiskers are 95 % bootstrap intervals over queries."
    return Comparison(f"Held-out {kind}", metrics, highlight="this model", note=note)


def _findings(written: Written, title: str) -> Findings:
    doctor = Doctor(written.run.config)
    for entry in written.logged:
        doctor.add(entry)
    unmeasured = doctor.unmeasured()
    if written.about.get("held_out"):  # the doctor reads the log alone, and says that nothing was held out
        known = "over-fitting (held-out records were measured at the end only)"
        unmeasured = [known if what.startswith("over-fitting") else what for what in unmeasured]
    return Findings(title, doctor.findings(ended=True), unmeasured)


def _map(sample: Sample, title: str, look: Look) -> Map:
    if look.color_by and look.color_by not in sample.columns:
        raise UsageError(
            f"there is no column {look.color_by!r} to colour by",
            where="--color-by",
            remedy=f"there are {', '.join(sample.columns)}",
        )
    near, cosines = neighbours(sample.vectors, pool=sample.pool)
    if look.method == "tsne":
        points, note = t_sne(sample.vectors), "By t-SNE: who is near whom holds, how far the far are does not."
    else:
        points, shares = principal(sample.vectors)
        note = f"By PCA: the two axes hold {100 * shares[:2].sum():.0f} % of the variance, so much of what is far apart lies together."
    return Map(
        title,
        points,
        sample.texts,
        sample.columns,
        near,
        cosines,
        look.color_by or sample.color_by,
        METHODS[look.method],
        f"{sample.note} {note}",
    )


def _examples(sample: Sample, asked: int) -> Queries:
    return Queries(
        "Single queries",
        sample.examples,
        asked,
        note=f"Ranks are among all candidates of the {asked:,} held-out queries; what came first instead is the "
        "nearest wrong answer of the sample, and the numbers are cosines.",
    )


def _curves(written: Written, rival: Written | None = None) -> list[Section]:
    """A curve a stage."""
    entries = [e for e in written.logged if "loss" in e]
    others = [] if rival is None else [e for e in rival.logged if "loss" in e]
    stages = list(dict.fromkeys(e.get("stage", "") for e in entries))
    found: list[Section] = []
    for stage in stages:
        mine, theirs = ([e for e in some if e.get("stage", "") == stage] for some in (entries, others))
        told = [e for e in written.logged if e.get("stage", "") == stage and isinstance(e.get("held_out"), dict)]
        measured = {
            name: ([e["step"] for e in told], [e["held_out"][name] for e in told])
            for name in (told[0]["held_out"] if told else {})
        }
        found.append(
            Curve(
                "How the loss fell" + (f": {stage}" if len(stages) > 1 else ""),
                [e["step"] for e in mine],
                [e["loss"] for e in mine],
                _chance(written, mine),
                measured,
                note="The dashed line is chance: the loss of a model that cannot tell its candidates apart.",
                name=written.name,
                rival=None
                if rival is None or not theirs
                else (rival.name, [e["step"] for e in theirs], [e["loss"] for e in theirs]),
            )
        )
    return found


def _chance(written: Written, entries: Sequence[Mapping[str, Any]]) -> float | None:
    """As measured; of InfoNCE it is known by the number of candidates."""
    measured = [e["chance"] for e in entries if isinstance(e.get("chance"), float)]
    if measured:
        return measured[-1]
    objective = written.about["recipe"]["objective"]
    known = isinstance(objective, dict) and objective.get("rule") == "info_nce" and "keys" in entries[-1]
    return math.log(max(2, entries[-1]["keys"])) if known else None


def _spectrum(samples: Mapping[str, Sample]) -> Spectrum:
    shares = {name: principal(sample.vectors)[1] for name, sample in samples.items()}
    ranks = ", ".join(
        f"{effective_rank(s):.1f} of {len(s)}" + (f" ({n})" if len(shares) > 1 else "") for n, s in shares.items()
    )
    return Spectrum(
        "How many directions it uses",
        shares,
        note=f"Share of the variance along each principal axis of the sampled vectors. Effective rank: {ranks}.",
    )


def _facts(written: Written, figures: Mapping[str, Any]) -> dict[str, object]:
    about, entries = written.about, [e for e in written.logged if "loss" in e]
    facts: dict[str, object] = {}
    if figures:
        facts |= {"MRR": Interval(**figures["mrr"]), "recall@10": Interval(**figures["recall@10"])}
    facts |= {"records": f"{about['data']['records']:,}", "steps": f"{about.get('steps', len(entries)):,}"}
    if "seconds" in about:
        facts["trained in"] = f"{about['seconds']:.0f} s"
    dropped = [e["dropped_negatives"] for e in entries if "dropped_negatives" in e]
    if dropped:
        facts["negatives dropped a query"] = f"{dropped[-1]:.2f}"
    return facts


def _shared(a: Outcome, b: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the queries that both were measured on."""
    try:
        return matched(a, b)
    except DataError as error:
        raise UsageError(
            f"the two runs were not measured on the same held-out queries: {error.what}",
            where="--against",
            remedy="compare runs of the same data, held_out and held_out_seed",
        ) from error


def _differing(ours: tuple[str, Outcome, np.ndarray], rival: tuple[str, Outcome, np.ndarray]) -> Queries:
    """Each side: its name, its outcome, and the rows of what both share."""
    (name, outcome, rows), (other, others, columns) = ours, rival
    x, y = outcome.columns["rank"][rows], others.columns["rank"][columns]
    gain = 1 / x - 1 / y
    order = np.argsort(-gain, kind="stable").tolist()
    names = outcome.names if len(outcome.names) else [f"held-out record {i}" for i in range(len(outcome))]
    answers = outcome.columns.get("answer", [OTHER_LOOK] * len(outcome))

    def told(places: Sequence[int]) -> list[Answered]:
        return [
            Answered(str(names[rows[i]]), str(answers[rows[i]]), int(x[i]), rival=(other, int(y[i]))) for i in places
        ]

    better, worse = (
        [i for i in some[:DIFFERING] if gain[i] * sign > 0] for some, sign in ((order, 1), (order[::-1], -1))
    )
    groups = {f"{name} does better": told(better), f"{other} does better": told(worse)}
    return Queries("Where they differ most", groups, len(rows))


def _settings_of(written: Written) -> list[tuple[str, str]]:
    return [(k, str(getattr(v, "__name__", v))) for k, v in _settings(written.about["recipe"]).items()]


def _differing_settings(ours: Written, rival: Written) -> list[tuple[str, str, str]]:
    x, y = dict(_settings_of(ours)), dict(_settings_of(rival))
    return [(name, x.get(name, "\u2013"), y.get(name, "\u2013")) for name in {**x, **y} if x.get(name) != y.get(name)]


def _settings(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Dotted names of a stored recipe."""
    found: dict[str, object] = {}
    for name, value in recipe.items():
        if isinstance(value, dict) and value:
            found |= _settings(value, f"{prefix}{name}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            parts = [item if isinstance(item, dict) else {"part": item} for item in value]
            if not all("name" in part for part in parts):
                found[prefix + name] = ", ".join(str(part.get("part", part.get("own", ""))) for part in parts)
            for part in parts:
                inner = part if "name" in part else part.get("options", {})
                found |= _settings(
                    inner, f"{part['name']}." if "name" in part else f"{prefix}{part.get('part', name)}."
                )
        else:
            found[prefix + name] = value
    return found
