"""Renders docs/images-compared.md and docs/sentences-compared.md, with their pictures, from what benchmarks/methods.py stored.

    python docs/compared.py

A test checks that the pages are what this file renders.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from drawing import INK, drawn, new_figure, plain

DOCS = Path(__file__).parent
RECORDS = DOCS.parent / "benchmarks" / "records"
UNTRAINED = "untrained"
BLUE, GREY = "#2f81d6", "#8a919a"
LABELLED = "#d9822b"

TITLES = {
    "images": "Methods for pictures beside one another",
    "sentences": "Methods for sentences beside one another",
}
FIGURES = {
    "knn_accuracy": "nearest neighbours",
    "linear_accuracy": "linear classifier",
    "sts_correlation": "rank correlation",
}
INTROS = {
    "images": "Every recipe that learns from pictures alone, on the same network (77,000 weights), the same thousand handwritten digits "
    "of 8 x 8 pixels, in batches of {batch}, with windows of 0.4 to 1 of the picture as the only view, and with {looks:g} looks at each "
    "picture in all, however many a method takes at once. Accuracy on 497 other digits.",
    "sentences": "Every recipe that learns from sentences alone, on the same encoder (one block of 64 dimensions that starts from random "
    "weights, mean of tokens), the same ten thousand sentences, in batches of {batch}, with {looks:g} look at each sentence in all. Rank "
    "correlation with people's judgement of 1,379 other pairs (STS Benchmark).",
}

HOW = (
    "Means over {seeds} seeds with 95 % intervals; the difference is paired by seed, by `{first}`, with its interval. A method that sees "
    "labels is marked so, and has an advantage. Seconds are processor time of a training, the median. The learning rate, {rates}, was "
    "chosen for each method by one further seed on the dev part; all else of a method's own is what its claim's own arm has, or its "
    "recipe. `untrained` is the encoder before it has learned anything."
)
CAUTION = (
    "With so little data and so few steps this is a comparison of how methods begin, not of where they end: that one method stands "
    "above another here says nothing about hundreds of passes over a million records."
)


@dataclass(frozen=True)
class Method:
    """A row of the page: figures by measure, a number a seed."""

    name: str
    figures: Mapping[str, Sequence[float]]
    seconds: float
    rate: float
    labels: bool


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean and how far its 95 % interval reaches, by Student's distribution over seeds."""
    from scipy.stats import t

    reach = float(t.ppf(0.975, len(values) - 1))
    return statistics.fmean(values), reach * statistics.stdev(values) / sqrt(len(values))


def methods(record: Mapping[str, Any]) -> list[Method]:
    """Methods with their finals, the best by the first measure first."""
    from nearfar.core.parts import RECIPES, find

    rows = [row for row in record["rows"] if row["split"] == "test"]
    # Of a run that was stopped, the seeds that all methods have.
    each = [{row["seed"] for row in rows if row["method"] == name} for name in {row["method"] for row in rows}]
    rows = [row for row in rows if row["seed"] in set.intersection(*each)]
    made = []
    for name in dict.fromkeys(row["method"] for row in rows):
        own = sorted((row for row in rows if row["method"] == name), key=lambda row: row["seed"])
        figures = {m: [row["figures"][m] for row in own] for m in own[0]["figures"]}
        labels = name != UNTRAINED and "labels" in find(name, RECIPES).card.data
        seconds = statistics.median(row["seconds"] for row in own)
        made.append(Method(name, figures, seconds, own[0]["learning_rate"], labels))
    first = next(iter(record["settings"]["measures"]))
    return sorted(made, key=lambda m: -statistics.fmean(m.figures[first]))


def page(name: str, record: Mapping[str, Any]) -> str:
    """The whole page."""
    settings, found = record["settings"], methods(record)
    base = next(m for m in found if m.name == settings["base"])
    measures = list(settings["measures"])
    head = ["method", *(FIGURES[m] for m in measures), f"against `{base.name}`", "seconds"]
    lines = [head, ["---"] * len(head)]
    for method in found:
        cells = [f"`{method.name}`" + (" (labels)" if method.labels else "")]
        cells += ["{:.3f} ± {:.3f}".format(*interval(method.figures[m])) for m in measures]
        cells += ["" if method is base else _beside(method, base, measures[0]), f"{method.seconds:.1f}"]
        lines.append(cells)
    left = [row for row in record["rows"] if row.get("left_out")]
    seeds, rates = len(base.figures[measures[0]]), " and ".join(f"{rate:g}" for rate in settings["rates"])
    parts = [
        "<!-- rendered from benchmarks/records by `python docs/compared.py`; do not edit -->",
        f"# {TITLES[name]}",
        INTROS[name].format(**settings),
        f"![{TITLES[name]}]({picture_path(name).name})",
        "\n".join("| " + " | ".join(line) + " |" for line in lines),
        HOW.format(seeds=seeds, rates=rates, first=FIGURES[measures[0]]),
        CAUTION,
    ]
    if left:
        told = "; ".join(f"`{row['method']}` {row['left_out']}" for row in left)
        parts.append(f"Not compared, because what they learn from is not here: {told}.")
    session = record["sessions"][-1]
    parts.append(f"Measured by `{session['command']}`, {session['date'][:10]}.")
    return "\n\n".join(parts) + "\n"


def _beside(method: Method, base: Method, measure: str) -> str:
    differences = [a - b for a, b in zip(method.figures[measure], base.figures[measure], strict=True)]
    mean, reach = interval(differences)
    return f"{mean:+.3f} [{mean - reach:+.3f}, {mean + reach:+.3f}]"


def picture(record: Mapping[str, Any]) -> str:
    """A row a method: its seeds as dots, its mean with the interval."""
    found = methods(record)[::-1]
    measures = list(record["settings"]["measures"])
    figure = new_figure(4.6 * len(measures) + 1.6, 0.27 * len(found) + 0.9)
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        for place, method in enumerate(found):
            colour = GREY if method.name == UNTRAINED else LABELLED if method.labels else BLUE
            values = method.figures[measure]
            axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.3, markersize=3)
            mean, reach = interval(values)
            axes.errorbar(mean, place, xerr=reach, fmt="o", color=colour, markersize=5, capsize=3)
        base = next(m for m in found if m.name == record["settings"]["base"])
        axes.axvline(statistics.fmean(base.figures[measure]), color=INK, linewidth=0.8, linestyle="--")
        axes.set_yticks(range(len(found)), [m.name.replace("_", " ") for m in found])
        axes.set_title(FIGURES[measure], fontsize=11, loc="left")
        plain(axes)
    return drawn(figure)


def page_path(name: str) -> Path:
    """Where the page lies."""
    return DOCS / f"{name}-compared.md"


def picture_path(name: str) -> Path:
    """Where its picture lies."""
    return DOCS / f"{name}-compared.svg"


def records() -> dict[str, Any]:
    """The stored records, those that there are."""
    paths = {name: RECORDS / f"methods_{name}.json" for name in TITLES}
    return {name: json.loads(path.read_text("utf-8")) for name, path in paths.items() if path.exists()}


def main() -> None:
    """Render the pages and pictures of which there are records."""
    for name, record in records().items():
        page_path(name).write_text(page(name, record), "utf-8")
        picture_path(name).write_text(picture(record), "utf-8")


if __name__ == "__main__":
    main()
