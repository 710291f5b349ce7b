"""Drawings as inline SVG that take their colours from the page, so that one file reads well in light and in dark.

Matplotlib draws with stand-in colours, which are then replaced by CSS variables. Every figure is drawn twice, wide and
narrow, and the page shows the one that fits: scaled-down letters are unreadable on a phone. Text stays text.
"""

from __future__ import annotations

import html
import io
import re
import unicodedata
import warnings
from bisect import bisect
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from nearfar.report.sections import Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# stand-in -> variable of the page (see page.css); unlikely values that matplotlib writes unchanged
INK, MUTED, RULE, NEAR, FAR = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
MINUS = "\u2212"
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", NEAR: "near", FAR: "far"}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib; only measures here, the page sets the font
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a name is a dollar
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 9.0,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "lines.solid_capstyle": "round",
    "path.simplify_threshold": 0.3,
}

Draw = Callable[["Figure", bool], None]
"""Draws on an empty figure; the flag says that it is narrow (about 350 points) and panels belong below one another."""


def picture(draw: Draw, label: str, *, name: str, wide: float, narrow: float) -> str:
    """The figure in both widths as HTML; `wide` and `narrow` are their heights in inches.

    label   says what is to be seen, for readers who cannot see it
    name    unique on the page: ids inside the drawings derive from it
    """
    drawings = [("wide", 7.6, wide, False), ("narrow", 3.7, narrow, True)]
    return "".join(
        f'<div class="figure {kind}" role="img" aria-label="{html.escape(label)}">'
        f"{_svg(draw, (width, height), is_narrow, f'{name}-{kind}')}</div>"
        for kind, width, height, is_narrow in drawings
    )


def _svg(draw: Draw, size: tuple[float, float], narrow: bool, name: str) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # the letters of other scripts: the page has them, only their width is guessed here
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.09, h_pad=0.05)  # type: ignore[union-attr]
        figure.patch.set_alpha(0)
        FigureCanvasSVG(figure)  # no pyplot: no global figures, no window system
        draw(figure, narrow)
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        written = io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # the same data gives the same bytes
        figure.savefig(written, format="svg", metadata=nothing)
    return _for_page(written.getvalue().decode("utf-8"), name)


def _for_page(svg: str, name: str) -> str:
    """The drawing alone: colours as variables, no prologue, no ids but those that are referred to, made unique."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r'<style type="text/css">.*?</style>', "", svg, flags=re.S)
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, f"var(--{variable})")
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)([^)"]+)', rf"\g<1>{name}-\g<2>", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font-size: \1px", svg)  # the page chooses the letters
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1)
    return re.sub(r"\n\s*", "\n", svg).strip()


def style_axis(axes: Axes, *, grid: str = "y") -> None:
    """Thin lines behind the data on one axis, no tick marks."""
    axes.grid(True, axis=grid)  # type: ignore[arg-type]
    axes.tick_params(length=0, pad=5)


def written(text: str, most: int = 28) -> str:
    """`text` for a drawing: at most `most` letters wide (two for the wide ones of East Asia), so that one long name
    cannot push the drawing away; and no character without a shape (control characters, lone surrogates).
    """
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    ends = list(accumulate(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text))
    return text if not ends or ends[-1] <= most else text[: bisect(ends, most - 1)] + "\u2026"


def smoothed(values: Numbers, share: float = 0.05) -> list[float]:
    """Mean of the neighbours within `share` of the values. At the beginning, where a loss falls fastest, only as many
    later ones as there are earlier ones, so that the curve starts where the loss starts.
    """
    half = int(share * len(values) / 2)
    sums = [0.0, *accumulate(values)]
    found = []
    for i in range(len(values)):
        reach = min(half, i)
        end = min(i + reach + 1, len(values))
        found.append((sums[end] - sums[i - reach]) / (end - i + reach))
    return found
