"""What a report says, as plain data: no markup, no colours, nothing that needs drawing.

Everything is a frozen dataclass of numbers and strings, so that a run can store it and render it again later. Text may
hold anything (a query, someone's code); whatever renders it must escape it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from nearfar.probes.similarity_histogram import SimilarityHistogram
from nearfar.probes.statistics import Interval, Paired

Numbers = Sequence[float] | Sequence[int] | NDArray[Any]


@dataclass(frozen=True)
class Curve:
    """How the loss fell: `loss` at each of `x`, smoothed over the raw values.

    chance    the loss of a model that knows nothing (ln of the number of candidates): a line to compare with
    measured  metric -> (x, values) measured on held-out data on the way, drawn below on the same x axis
    """

    title: str
    x: Numbers
    loss: Numbers
    chance: float | None = None
    measured: Mapping[str, tuple[Numbers, Numbers]] = field(default_factory=dict)
    x_label: str = "step"
    note: str = ""


@dataclass(frozen=True)
class Histogram:
    """Similarities of positives against negatives, one panel a name ("before training", "after training")."""

    title: str
    panels: Mapping[str, SimilarityHistogram]
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """The paired comparison of `ours` with `rival` on one metric."""

    ours: str
    rival: str
    paired: Paired
    metric: str = "MRR"


@dataclass(frozen=True)
class Comparison:
    """Systems side by side: metric -> system -> mean with its interval; below, what the pairs say.

    highlight   the system to mark as ours
    """

    title: str
    metrics: Mapping[str, Mapping[str, Interval]]
    differences: Sequence[Difference] = ()
    highlight: str = ""
    note: str = ""


@dataclass(frozen=True)
class Hit:
    """One document found. `where` says how to open it: "json/decoder.py:337"."""

    title: str
    where: str
    code: str
    score: float
    correct: bool = False
    language: str = "python"


@dataclass(frozen=True)
class Search:
    """A query and what it found, best first."""

    query: str
    hits: Sequence[Hit]


@dataclass(frozen=True)
class Searches:
    """Example searches: what the numbers mean in practice."""

    title: str
    searches: Sequence[Search]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of numbers or strings; numbers stand to the right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


Section = Curve | Histogram | Comparison | Searches | Table


@dataclass(frozen=True)
class Report:
    """A page. `verdict` is one sentence, what a reader should take away; `good` says whether the goal was reached
    (None: there was none). `facts` are shown large, in order: {"MRR": "0.55", "trained in": "42 s"}.
    """

    title: str
    subtitle: str = ""
    verdict: str = ""
    good: bool | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    sections: Sequence[Section] = ()
    footer: str = ""
