"""What a report says, as plain data: no markup, no colours, nothing that needs drawing.

Everything is a frozen dataclass of numbers and strings, so that a run can store it and render it again later. Text may
hold anything (a query, someone's code); whatever renders it must escape it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from nearfar.probes.doctor import Finding
from nearfar.probes.similarity_histogram import SimilarityHistogram
from nearfar.probes.statistics import Interval, Paired

Numbers = Sequence[float] | Sequence[int] | NDArray[Any]


@dataclass(frozen=True)
class Curve:
    """How the loss fell: `loss` at each of `x`, smoothed over the raw values.

    chance    the loss of a model that knows nothing (ln of the number of candidates): a line to compare with
    measured  metric -> (x, values) measured on held-out data on the way, drawn below on the same x axis
    name      of the run, where there is another to tell it from; `rival` the other one: (name, x, loss)
    """

    title: str
    x: Numbers
    loss: Numbers
    chance: float | None = None
    measured: Mapping[str, tuple[Numbers, Numbers]] = field(default_factory=dict)
    x_label: str = "step"
    note: str = ""
    name: str = ""
    rival: tuple[str, Numbers, Numbers] | None = None


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
class Spectrum:
    """Share of the variance along each principal axis, largest first: name -> shares. A collapsed embedding has few."""

    title: str
    shares: Mapping[str, Numbers]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Map:
    """An embedding on two axes, to be zoomed, searched and coloured.

    points        [n 2], on any scale
    texts         [n], what each point is
    columns       name -> [n] texts (categories) or numbers (NaN: unknown), to colour by
    neighbours    [n k] numbers of the points nearest to each, best first; -1 where there are fewer
    similarities  [n k] of those
    color_by      the column that is shown first; "" for none
    method        how the two axes were made, in words
    """

    title: str
    points: NDArray[Any]
    texts: Sequence[str]
    columns: Mapping[str, Sequence[str] | NDArray[Any]]
    neighbours: NDArray[Any]
    similarities: NDArray[Any]
    color_by: str = ""
    method: str = "PCA"
    note: str = ""


@dataclass(frozen=True)
class Answered:
    """A query with a known answer: the rank at which that came, and what came first, if it was something else.

    rival   another system and the rank at which it has the answer
    """

    query: str
    right: str
    rank: int
    instead: str = ""
    score: float | None = None
    instead_score: float | None = None
    rival: tuple[str, int] | None = None


@dataclass(frozen=True)
class Queries:
    """Queries in groups ("found at once", "missed by far"), name -> queries; `of` is how many were measured in all."""

    title: str
    groups: Mapping[str, Sequence[Answered]]
    of: int = 0
    note: str = ""


@dataclass(frozen=True)
class Findings:
    """What the doctor says of a run: findings, the worst first, and what could not be judged."""

    title: str
    findings: Sequence[Finding]
    unmeasured: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of numbers or strings; numbers stand to the right. `folded`: shown when asked for, being long and rarely read."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""
    folded: bool = False


Section = Curve | Histogram | Comparison | Searches | Spectrum | Map | Queries | Findings | Table


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
