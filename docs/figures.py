"""Renders what the README shows of the demo from its stored record, so that no figure in prose can drift from it.

    nearfar quickstart --json > docs/records/quickstart.json      # measure (adds machine and versions)
    python docs/figures.py                                        # render docs/quickstart.svg and the README's figures

A test checks that the README is what this file renders.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
RECORD = DOCS / "records" / "quickstart.json"
PICTURE = DOCS / "quickstart.svg"
README = DOCS.parent / "README.md"
START, END = (
    "<!-- figures: rendered from docs/records/quickstart.json by `python docs/figures.py` -->",
    "<!-- figures end -->",
)
COLOURS = {
    "nearfar": "#1267a8",
    "hybrid": "#1267a8",
    "BM25": "#c4520a",
    "BM25 + name": "#c4520a",
    "untrained": "#646b75",
}


def readme(record: dict[str, Any], text: str) -> str:
    """The README with its figures replaced by those of the record."""
    table = ["| system | MRR [95 % interval] | recall@10 |", "| --- | --- | --- |"]
    for name, metrics in record["systems"].items():
        cells = [f"{m['mean']:.3f} [{m['low']:.3f}, {m['high']:.3f}]" for m in (metrics["MRR"], metrics["recall@10"])]
        table.append(f"| {name} | {cells[0]} | {cells[1]} |")
    plain, named = (
        _percent(record["comparisons"][f"nearfar/{rival}"]["relative"]) for rival in ("BM25", "BM25 + name")
    )
    lines = [
        START,
        *table,
        "",
        (
            f"On {record['software']['cores']} cores ({record['software']['machine']}): {record['pairs']:,} pairs harvested, "
            f"{record['held_out']:,} of {len(record['held_out_packages'])} packages held out; {record['seconds']:.0f} s in all, "
            f"{record['training_seconds']:.0f} s of them training, {record['peak_memory_mb']:,} MB at the peak. MRR is {plain} "
            f"against BM25, and {named} against a BM25 that weighs the function's name as a field, as the encoder does (relative, "
            "with 95 % intervals, paired by query). Figures depend on what is installed; the demo prints yours."
        ),
        END,
    ]
    pattern = re.escape(START) + ".*?" + re.escape(END)
    return re.sub(pattern, lambda _: "\n".join(lines), text, flags=re.DOTALL)


def _percent(interval: dict[str, float]) -> str:
    mean, low, high = (100 * interval[k] for k in ("mean", "low", "high"))
    return f"{mean:+.0f} % [{low:+.0f}, {high:+.0f}]"


def picture(record: dict[str, Any]) -> str:
    """Means with their intervals, a panel a metric, as SVG."""
    import matplotlib

    matplotlib.rcParams.update({"svg.hashsalt": "nearfar", "svg.fonttype": "none", "font.family": "sans-serif"})
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 2.7), layout="constrained")
    names = list(record["systems"])[::-1]
    for axes, metric in zip(figure.subplots(1, 2, sharey=True), ("MRR", "recall@10"), strict=True):
        for place, name in enumerate(names):
            m = record["systems"][name][metric]
            axes.plot([m["low"], m["high"]], [place, place], color=COLOURS[name], linewidth=2.5)
            axes.plot([m["mean"]], [place], "o", color=COLOURS[name], markersize=8)
            axes.annotate(
                f"{m['mean']:.3f}", (m["mean"], place), (0, 8), textcoords="offset points", ha="center", fontsize=9
            )
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.5, len(names) - 0.2)
        axes.set_title(metric, fontsize=11, loc="left")
        axes.grid(axis="x", color="#e1e2de")
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    figure.patch.set_facecolor("white")
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def main() -> None:
    """Render both."""
    record = json.loads(RECORD.read_text("utf-8"))
    PICTURE.write_text(picture(record), "utf-8")
    README.write_text(readme(record, README.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
