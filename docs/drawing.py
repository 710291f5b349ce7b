"""How pictures of the pages look: SVG whose ink follows the reader's light or dark theme, the same to the byte for the same figures."""

from __future__ import annotations

import io
from typing import Any

INK = "#010203"  # stands for the colour of the text, which follows the reader's theme
THEME = "svg { color: #24292f } @media (prefers-color-scheme: dark) { svg { color: #d9dee3 } }"


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches."""
    import matplotlib

    matplotlib.rcParams.update({"svg.hashsalt": "nearfar", "svg.fonttype": "none", "font.family": "sans-serif"})
    for part in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"):
        matplotlib.rcParams[part] = INK
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def plain(axes: Any) -> None:
    """A grid in the background, no box around it."""
    axes.grid(color="#808080", alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.patch.set_visible(False)


def drawn(figure: Any) -> str:
    """The figure as SVG."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    ready = out.getvalue().replace(INK, "currentColor")
    return ready.replace("</defs>", f"<style>{THEME}</style></defs>", 1)
