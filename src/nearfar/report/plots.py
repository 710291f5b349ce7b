"""The pictures of a training run: the curve, the two distributions, the spectrum, the comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.report.figures import FAR, INK, MINUS, MUTED, NEAR, RULE, picture, smoothed, style_axis, written
from nearfar.report.sections import Comparison, Curve, Difference, Histogram, Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_SHARE = 1e-6  # of the variance; below it is rounding
MOST_POINTS = 1_000  # more cannot be seen, only stored


def curve(section: Curve, name: str) -> str:
    """Loss against x with the line of chance; held-out metrics below."""
    step = max(1, len(section.loss) // MOST_POINTS)
    x, loss = np.asarray(section.x, float), np.asarray(section.loss, float)
    smooth = np.asarray(smoothed(section.loss))
    panels = 1 + bool(section.measured)

    def draw(figure: Figure, _narrow: bool) -> None:
        grid = figure.subplots(panels, 1, sharex=True, squeeze=False, height_ratios=[2, 1][:panels])
        top: Axes = grid[0, 0]
        style_axis(top)
        top.plot(x[::step], loss[::step], color=NEAR, linewidth=0.8, alpha=0.35)
        top.plot(x[::step], smooth[::step], color=NEAR, linewidth=2)
        top.set_title("loss")
        if section.rival is not None:
            rival, at, other = section.rival
            every = max(1, len(other) // MOST_POINTS)
            top.plot(at[::every], smoothed(other)[::every], color=FAR, linewidth=2, label=written(rival))
            top.lines[1].set_label(written(section.name))
            top.legend(loc="center right", frameon=False, fontsize=8.5, handlelength=1.4)
        if section.chance is not None:
            top.axhline(section.chance, color=FAR if section.rival is None else MUTED, linewidth=1.2, dashes=(4, 3))
            place = {"xy": (1, section.chance), "xycoords": ("axes fraction", "data"), "xytext": (0, 4)}
            words = f"chance: {section.chance:.2f}"
            top.annotate(
                words,
                **place,
                textcoords="offset points",
                ha="right",
                color=FAR if section.rival is None else MUTED,
                fontsize=8.5,
            )
            top.set_ylim(top=max(top.get_ylim()[1], section.chance * 1.08))
        if np.isfinite(smooth).all() and len(x):
            end = f"{smooth[-1]:.2f}"
            top.annotate(end, (x[-1], smooth[-1]), (-2, 9), textcoords="offset points", ha="right", color=INK)
        bottom: Axes = grid[-1, 0]
        for color, (metric, (at, values)) in zip([NEAR, FAR, MUTED] * 9, section.measured.items(), strict=False):
            bottom.plot(at, values, color=color, linewidth=1.6, marker="o", markersize=3.5)
            if len(values):
                text = f"{written(metric)} {values[-1]:.3f}"
                bottom.annotate(
                    text, (at[-1], values[-1]), (-2, -13), textcoords="offset points", ha="right", color=INK
                )
        if section.measured:
            style_axis(bottom)
            bottom.set_title("held-out data")
            bottom.margins(y=0.25)
        bottom.set_xlabel(written(section.x_label))

    fell = f"The loss goes from {loss[0]:.2f} to {smooth[-1]:.2f}" if len(loss) else "No loss was recorded"
    chance = "" if section.chance is None else f"; chance is {section.chance:.2f}"
    extra = 1.3 * bool(section.measured)
    return picture(draw, f"{fell}{chance}.", name=name, wide=2.9 + extra, narrow=2.6 + extra)


def histogram(section: Histogram, name: str) -> str:
    """Densities of positives and negatives, every panel on one x axis."""
    panels = list(section.panels.items())

    def draw(figure: Figure, narrow: bool) -> None:
        shape = (len(panels), 1) if narrow else (1, len(panels))
        grid = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
        low, high = _span([p for _, p in panels])
        for axes, (title, panel) in zip(grid, panels, strict=True):
            style_axis(axes, grid="x")
            axes.set_title(written(title))
            for counts, color, label in ((panel.negatives, FAR, "negatives"), (panel.positives, NEAR, "positives")):
                edges, density = _density(panel.edges, counts, low, high)
                axes.stairs(density, edges, fill=True, color=color, alpha=0.28, linewidth=0)
                axes.stairs(density, edges, color=color, linewidth=1.5, baseline=None, label=label)
            axes.set_xlim(low, high)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            text = f"{100 * panel.separation:.1f} % of positives\nnearer than a random negative"
            axes.text(0.5, 1.0, text, transform=axes.transAxes, ha="center", va="top", color=MUTED, fontsize=8)
            axes.set_ylim(0, axes.get_ylim()[1])
        top = max(axes.get_ylim()[1] for axes in grid)
        grid[0].set_ylim(0, top * 1.3)  # room for the words
        for axes in grid if not narrow else grid[-1:]:
            axes.set_xlabel("cosine similarity")
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(
            handles[::-1],
            labels[::-1],
            loc="outside upper right",
            ncols=2,
            frameon=False,
            fontsize=8.5,
            handlelength=1.4,
        )

    parts = "; ".join(f"{title}: separation {panel.separation:.3f}" for title, panel in panels)
    words = f"Similarity of positives and negatives. {parts}."
    return picture(draw, words, name=name, wide=2.9, narrow=2.0 * len(panels))


def spectrum(section: Spectrum, name: str) -> str:
    """Share of the variance along each axis, on a logarithmic scale: where it falls off a cliff, directions are unused."""
    drawn = {title: np.asarray(shares, float) for title, shares in section.shares.items()}
    drawn = {title: shares[shares > LEAST_SHARE] for title, shares in drawn.items()}

    def draw(figure: Figure, _narrow: bool) -> None:
        axes: Axes = figure.subplots()
        style_axis(axes)
        axes.set_yscale("log")
        for color, (title, shares) in zip([NEAR, FAR, MUTED] * 9, drawn.items(), strict=False):
            every = max(1, len(shares) // MOST_POINTS)
            at = np.arange(1, len(shares) + 1)
            axes.plot(at[::every], shares[::every], color=color, linewidth=2, label=written(title))
            if len(drawn) == 1:
                axes.fill_between(
                    at[::every], shares[::every], shares.min(initial=1.0), color=color, alpha=0.14, linewidth=0
                )
        axes.set_title("share of the variance")
        axes.set_xlabel("principal axis")
        axes.set_xlim(left=1)
        # "0.1 %" and not a power of ten, whose raised digits are another size
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.minorticks_off()
        if len(drawn) > 1:
            axes.legend(loc="upper right", frameon=False, fontsize=8.5, handlelength=1.4)

    words = "; ".join(
        f"{title}: {len(shares)} axes, the first holds {100 * shares[0]:.0f} %"
        for title, shares in drawn.items()
        if len(shares)
    )
    return picture(draw, f"Spectrum of the embedding. {words}.", name=name, wide=2.6, narrow=2.4)


def comparison(section: Comparison, name: str) -> str:
    """Means with their intervals, a panel a metric."""
    metrics = list(section.metrics.items())
    rows = max((len(systems) for _, systems in metrics), default=0)

    def draw(figure: Figure, narrow: bool) -> None:
        shape = (len(metrics), 1) if narrow else (1, len(metrics))
        grid = figure.subplots(*shape, sharey=not narrow, squeeze=False).ravel()
        for axes, (metric, systems) in zip(grid, metrics, strict=True):
            colors = [NEAR if system == section.highlight else MUTED for system in systems]
            _whiskers(axes, [written(s, 24 if narrow else 28) for s in systems], list(systems.values()), colors)
            axes.set_title(written(metric))

    words = "; ".join(
        f"{metric}: " + ", ".join(f"{system} {interval.mean:.3f}" for system, interval in systems.items())
        for metric, systems in metrics
    )
    height = 0.8 + 0.34 * rows
    return picture(draw, words, name=name, wide=height, narrow=height * max(1, len(metrics)))


def differences(pairs: list[Difference], name: str) -> str:
    """Paired differences with their intervals against zero."""

    def draw(figure: Figure, narrow: bool) -> None:
        axes: Axes = figure.subplots()
        shade = {"better": NEAR, "worse": FAR, "unclear": MUTED}
        most = 24 if narrow else 28
        several = len({d.metric for d in pairs}) > 1
        names = [
            f"{written(d.ours, most)}\n{MINUS} {written(d.rival, most)}" + (f", {written(d.metric)}" if several else "")
            for d in pairs
        ]
        _whiskers(axes, names, [d.paired.difference for d in pairs], [shade[d.paired.verdict] for d in pairs], sign="+")
        axes.axvline(0, color=INK, linewidth=1)
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -0.06 * (high - low)), max(high, 0.06 * (high - low)))
        axes.set_title("paired difference" + ("" if several else f", {written(pairs[0].metric)}"))

    height = 0.85 + 0.44 * len(pairs)
    words = "; ".join(f"{d.ours} minus {d.rival}, {d.metric}: {d.paired.difference.mean:+.3f}" for d in pairs)
    return picture(draw, words, name=name, wide=height, narrow=height)


def _whiskers(axes: Axes, names: list[str], intervals: list[Any], colors: list[str], sign: str = "") -> None:
    style_axis(axes, grid="x")
    for place, ((mean, low, high), color) in enumerate(zip(intervals, colors, strict=True)):
        axes.plot([low, high], [place, place], color=color, linewidth=2.2)
        axes.plot([mean], [place], "o", color=color, markersize=7)
        text = f"{mean:{sign}.3f}".replace("-", MINUS)
        axes.annotate(text, (mean, place), (0, 7), textcoords="offset points", ha="center", fontsize=8, color=INK)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.75)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.margins(x=0.12)
    axes.locator_params(axis="x", nbins=5)


def _span(panels: list[Any]) -> tuple[float, float]:
    """The part of the axis where something is."""
    low, high = 1.0, -1.0
    for panel in panels:
        filled = np.flatnonzero(np.asarray(panel.positives) + np.asarray(panel.negatives))
        if len(filled):
            low, high = min(low, panel.edges[filled[0]]), max(high, panel.edges[filled[-1] + 1])
    return (low, high) if low < high else (-1.0, 1.0)


def _density(edges: Any, counts: Any, low: float, high: float, bars: int = 60) -> tuple[Any, Any]:
    """Counts as a density over `low` to `high`, in about `bars` bins that are whole numbers of the given ones."""
    edges, counts = np.asarray(edges, float), np.asarray(counts, float)
    inside = (edges[:-1] >= low - 1e-9) & (edges[1:] <= high + 1e-9)
    counts, width = counts[inside], edges[1] - edges[0]
    join = max(1, round(len(counts) / bars))
    counts = np.concatenate([counts, np.zeros(-len(counts) % join)]).reshape(-1, join).sum(1)
    return low + np.arange(len(counts) + 1) * width * join, counts / max(1.0, counts.sum()) / (width * join)
