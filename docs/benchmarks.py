"""Renders docs/benchmarks.md and its plot from the stored records, so that no figure in prose can drift from a measurement.

    make bench                    # measures, then renders
    python docs/benchmarks.py     # renders

A test checks that the page is what this file renders.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks_decoding import decoding
from benchmarks_search import searching
from benchmarks_serving import serving
from benchmarks_static import IN_HAND, pace, static_training
from drawing import INK, drawn, new_figure, plain

DOCS = Path(__file__).parent
RECORDS = DOCS.parent / "benchmarks" / "records"
PAGE, PICTURE = DOCS / "benchmarks.md", DOCS / "benchmarks.svg"
HEAD = {"dimension": 256, "dtype": "float32"}
LOSSES = {
    "two ways": "InfoNCE, two ways",
    "one way": "InfoNCE, one way",
    "sigmoid": "sigmoid",
    "decoupled": "decoupled, two ways",
}
NOTES = {
    "lightly": "another loss: every row also competes with its own side",
    "4 products": "the physical limit: four matrix products by `torch.mm`",
    "3 products": "the physical limit: three matrix products by `torch.mm`",
}
NOTHING = "not measured yet"
NAMES = (
    "loss_stage",
    "micro_batching",
    "train_step",
    "static_training",
    "encode",
    "retrieval_probe",
    "search",
    "serve_load",
    "decoding",
)
Row = dict[str, Any]
Records = dict[str, dict[str, Any]]


def records() -> Records:
    """The stored records, those that there are."""
    paths = {name: RECORDS / f"{name}.json" for name in NAMES}
    return {name: json.loads(path.read_text("utf-8")) for name, path in paths.items() if path.exists()}


# Reading rows


def rows_of(stored: Records, name: str) -> list[Row]:
    """The rows of a record; none if it is not there."""
    return stored.get(name, {"rows": []})["rows"]


def find(rows: Sequence[Row], **wanted: Any) -> Row | None:
    """The row with these fields that has figures."""
    return next((r for r in rows if "seconds" in r and all(r.get(k) == v for k, v in wanted.items())), None)


def seconds(row: Row) -> float:
    """The median over runs."""
    return statistics.median(row["seconds"])


def ratio(rows: Sequence[Row], what: Callable[[Row], float], of: Row, to: Row) -> float | None:
    """A figure of one row over that of another, if both are there."""
    a, b = find(rows, **of), find(rows, **to)
    return None if a is None or b is None else what(a) / what(b)


# What was to be reached


@dataclass(frozen=True)
class Aim:
    """One figure and its bound: it should not be above it."""

    text: str
    value: float | None
    bound: float
    unit: str = ""

    @property
    def verdict(self) -> str:
        """Whether it is reached."""
        return NOTHING if self.value is None else ("yes" if self.value <= self.bound else "**no**")

    def show(self, value: float | None) -> str:
        """A figure with its unit."""
        if value is None:
            return "-"
        return f"{value:,.0f} {self.unit}" if self.unit else f"{value:.2f}"


def aims(stored: Records) -> list[Aim]:
    """The figures that were to be reached on two cores, at 256 dimensions in float32."""
    rows, steps = rows_of(stored, "loss_stage"), rows_of(stored, "micro_batching")

    def at(peer: str, size: int = 16384) -> Row:
        return {"peer": peer, "size": size, **HEAD}

    def extra(size: int) -> float | None:
        row = find(rows, **at("nearfar", size))
        return None if row is None else row["extra_mb"]

    def time(of: str, to: str) -> float | None:
        return ratio(rows, seconds, at(of), at(to))

    def memory(row: Row) -> float:
        return row["extra_mb"]

    made = [
        Aim("extra memory at 16,384 pairs", extra(16384), 150, "MB"),
        Aim("time over plain torch's at 16,384 pairs", time("nearfar", "torch"), 0.6),
        Aim("time over that of the four products alone, 16,384 pairs", time("nearfar", "4 products"), 1.3),
        Aim("extra memory at 65,536 pairs", extra(65536), 1000, "MB"),
        Aim("memory at 65,536 over memory at 16,384 pairs (four if linear)", None, 4.1),
        Aim(
            "any rule, one way: time over the one-way sweep's",
            time("nearfar, any rule, one way", "nearfar, one way"),
            1.5,
        ),
        Aim("any rule, two ways: time over the specialised sweep's", time("nearfar, any rule", "nearfar"), 2.2),
    ]
    made[4] = Aim(made[4].text, ratio(rows, memory, at("nearfar", 65536), at("nearfar")), made[4].bound)
    for data in ("stsb", "cisi"):
        whole = {"data": data, "pairs": 256}
        value = ratio(steps, seconds, {"way": "nearfar", **whole}, {"way": "plain", **whole})
        made.append(Aim(f"micro-batched step over the plain step, {data}", value, 1.05))
    made += training_aims(rows_of(stored, "train_step"), rows_of(stored, "static_training"))
    return made + probe_aims(rows_of(stored, "encode"), rows_of(stored, "retrieval_probe"))


PLAIN, OURS, OURS_BFLOAT16 = "sentence-transformers", "nearfar", "nearfar, bfloat16"


def training_aims(rows: Sequence[Row], of_static: Sequence[Row]) -> list[Aim]:
    """The figures of training that were to be reached, on real pairs of docstring and function."""

    def step(case: str, of: str, to: str, what: Callable[[Row], float] = seconds) -> float | None:
        return ratio(rows, what, *({"part": "step", "case": case, "side": side} for side in (of, to)))

    static = find(of_static, case=IN_HAND)
    return [
        Aim("fine-tuning step over sentence-transformers' plain one", step("as they come", OURS, PLAIN), 1.0),
        Aim(
            "memory of the fine-tuning step over the plain one's",
            step("as they come", OURS, PLAIN, lambda r: r["extra_mb"]),
            1 / 7,
        ),
        Aim(
            "fine-tuning step over the plain one where half of that is padding",
            step("half padding", OURS, PLAIN),
            1 / 1.5,
        ),
        Aim("fine-tuning step in bfloat16 over ours in float32", step("as they come", OURS_BFLOAT16, OURS), 1 / 1.5),
        Aim("between the loss curves of bfloat16 and float32, over the standard error over seeds", apart(rows), 1.0),
        Aim(
            "static encoder: seconds for 10,000 pairs in hand",
            None if static is None else 10_000 / pace(static, "seconds"),
            1.0,
        ),
        Aim("longest share of the time that an encoder waits for records", most_waited([*rows, *of_static]), 0.05),
    ]


def probe_aims(encoding: Sequence[Row], ranking: Sequence[Row]) -> list[Aim]:
    """The figures of encoding and of measuring retrieval that were to be reached."""

    def encode(side: str) -> float | None:
        return ratio(encoding, seconds, {"side": side}, {"side": PLAIN})

    ours = find(ranking, side=OURS)
    others = [r for r in ranking if r["side"] != OURS and "seconds" in r]
    quickest = min(map(seconds, others), default=None)
    return [
        Aim("encoding texts of mixed length over sentence-transformers", encode(OURS), 1 / 1.25),
        Aim("the same in bfloat16", encode(OURS_BFLOAT16), 1 / 2.5),
        Aim(
            "measuring retrieval, 10,000 queries in 100,000 documents, over the quickest of three libraries",
            None if ours is None or quickest is None else seconds(ours) / quickest,
            1.0,
        ),
        Aim(
            "its memory over that of all scores",
            None if ours is None else ours["extra_mb"] / (100_000 * 10_000 * 4 / 1e6),
            0.1,
        ),
    ]


def most_waited(rows: Sequence[Row]) -> float | None:
    """The longest that any of our encoders waited, as a share: of each the median over its trainings."""
    each: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if "waited" in row and row.get("part") != "step":
            # A seed is a training like another; a single step has nothing ahead of it.
            key = row.get("side", ""), "" if row.get("part") == "curve" else row["case"]
            each.setdefault(key, []).extend(row["waited"])
    return max((statistics.median(shares) for shares in each.values() if shares), default=None)


def curves(rows: Sequence[Row]) -> tuple[list[list[float]], list[list[float]]] | None:
    """Losses [seeds steps] in float32 and in bfloat16, of the seeds that both have; None for fewer than two."""
    found = {(r["side"], r["case"]): r["losses"] for r in rows if r["part"] == "curve" and "losses" in r}
    cases = sorted(case for side, case in found if side == OURS and (OURS_BFLOAT16, case) in found)
    if len(cases) < 2:
        return None
    return [found[OURS, c] for c in cases], [found[OURS_BFLOAT16, c] for c in cases]


def apart(rows: Sequence[Row]) -> float | None:
    """How far the mean loss curves of both precisions lie apart, over what other seeds would move float32's: both root mean squares.

    The seeds are the unit: at each step, the standard error of the mean over them. Above 1, bfloat16 would do more than chance does.
    """
    found = curves(rows)
    if found is None:
        return None
    exact, rounded = (list(zip(*losses, strict=True)) for losses in found)  # by step
    distance = sum((statistics.fmean(a) - statistics.fmean(b)) ** 2 for a, b in zip(exact, rounded, strict=True))
    return (distance / sum(statistics.variance(a) / len(a) for a in exact)) ** 0.5


# The page


def page(stored: Records) -> str:
    """The whole page."""
    parts = [
        "<!-- rendered from benchmarks/records by `python docs/benchmarks.py`; do not edit -->",
        "# Speed and memory",
        "Figures of one machine, each the median over runs, of processes that ran in turn. `make bench` measures them on yours.",
        "## What was to be reached",
        "On 2 cores, 256 dimensions, float32, two ways unless said otherwise.",
        table(
            ["aim", "at most", "measured", "reached"],
            [[a.text, a.show(a.bound), a.show(a.value), a.verdict] for a in aims(stored)],
        ),
        "## The loss stage",
        (
            "Vectors in, loss and gradients out. Peers that compute the same loss agreed to 0.001 in float32, or there would be no "
            "record. Each cell: time (in brackets over plain torch's same loss), and the peak of memory above imports and inputs, "
            "the gradients of the inputs included. A peer that needs more than 10 GB is not run. *Any rule* is a copy of the rule in "
            "a file of a user's own, for which there is no specialised sweep."
        ),
        *loss_stage(stored.get("loss_stage")),
        "## Micro-batching",
        (
            "Whole steps of a 6-layer transformer (MiniLM-L6, 22.7 million weights, no dropout) with AdamW: 256 pairs of texts of real "
            "lengths, cut at 128 tokens. All ways agreed in loss and in the norm of the gradient. Memory is above weights, "
            "their gradients and the optimiser's state."
        ),
        *micro_batching(stored.get("micro_batching")),
        "## Training",
        (
            "Whole steps, from texts to moved weights, of fine-tuning MiniLM-L6 (no dropout) with AdamW on real pairs of docstring and "
            "function, at most 256 tokens each, by the symmetric InfoNCE: our loop beside sentence-transformers' losses. All sides "
            "agreed in loss and in the norm of the gradient. Memory is above weights and texts. The limit is what "
            "`torch.mm` alone would need, at its rate in the same process and precision, for the multiply-adds of an exact gradient "
            "(three passes) of the tokens without padding; micro-batches go forward twice, so they can reach three quarters of it."
        ),
        *training(stored.get("train_step")),
        "## Training the static encoder",
        *static_training(stored.get("static_training"), table, origin),
        "## Encoding",
        (
            "A corpus of docstrings and functions of mixed length through MiniLM-L6, at most 256 tokens each, from texts to unit vectors: "
            "ours beside sentence-transformers as it comes (32 texts at once) and with more at once. In float32 no number of a vector "
            "differs by more than 1e-5, in bfloat16 every cosine is above 0.9995, or there would be no record. Memory is above weights "
            "and texts."
        ),
        *probes(stored.get("encode"), PLAIN),
        "## Measuring retrieval",
        (
            "MRR@10, nDCG@10, recall@10 and MAP@100 of 10,000 queries in 100,000 documents of 256 dimensions, from vectors to figures; one to "
            "five relevant documents a query. All sides agree. ranx and torchmetrics rank no vectors: their time includes the product and the "
            "best documents by torch; torchmetrics is timed on every twentieth query. Memory is above vectors."
        ),
        *probes(stored.get("retrieval_probe"), OURS),
        "## Searching",
        *searching(stored.get("search"), table, origin),
        "## Serving a search",
        *serving(stored.get("serve_load"), table, origin),
        "## Decoding",
        *decoding(stored.get("decoding"), table, origin),
    ]
    return "\n\n".join(parts) + "\n"


def loss_stage(record: dict[str, Any] | None) -> list[str]:
    """Picture, a table for each dimension and type of number, and how it was measured."""
    if record is None:
        return ["Not measured yet: `make bench`."]
    rows = record["rows"]
    made = [f"![Seconds and extra memory over the number of pairs]({PICTURE.name})"]
    for dtype in ("float32", "bfloat16"):
        for dimension in sorted({r["dimension"] for r in rows if r["dtype"] == dtype}):
            some = [r for r in rows if r["dimension"] == dimension and r["dtype"] == dtype]
            made += [f"### {dimension} dimensions, {dtype}", sizes_table(some)]
    counts = sorted({(r["size"], len(r["seconds"])) for r in rows if "seconds" in r})
    runs = ", ".join(f"{n} at {size:,}" for size, n in counts)
    notes = [f"{name} is {text}" for name, text in NOTES.items() if find(rows, peer=name)]
    return [*made, f"Runs: {runs}. {'; '.join(notes)}.", origin(record)]


def sizes_table(rows: Sequence[Row]) -> str:
    """Peers down, numbers of pairs across, a block for each loss."""
    sizes = sorted({r["size"] for r in rows})
    body = []
    for loss, title in LOSSES.items():
        group = [r for r in rows if r["loss"] == loss]
        if group:
            body.append([f"**{title}**", *[""] * len(sizes)])
        for peer in dict.fromkeys(r["peer"] for r in group):
            of = {r["size"]: r for r in group if r["peer"] == peer}
            body.append([peer, *[cell(of.get(size), group) for size in sizes]])
    return table(["", *[f"{size:,} pairs" for size in sizes]], body)


def cell(row: Row | None, group: Sequence[Row]) -> str:
    """One peer at one size."""
    if row is None:
        return ""
    if "not_run" in row:
        return f"*{row['not_run'].replace('about ', '')}*"
    base = next(
        (r for r in group if r["peer"].startswith("torch") and r["size"] == row["size"] and "seconds" in r), None
    )
    over = f" ({seconds(row) / seconds(base):.2f})" if base is not None else ""
    memory = f", {row['extra_mb']:,.0f} MB" if "extra_mb" in row else ""
    took = seconds(row)
    return (f"{took:.3g} s" if took >= 0.9995 else f"{1000 * took:.3g} ms") + over + memory


def micro_batching(record: dict[str, Any] | None) -> list[str]:
    """A table for each data set."""
    if record is None:
        return ["Not measured yet: `make bench` with `NEARFAR_DATA` set."]
    made = []
    for data in dict.fromkeys(r["data"] for r in record["rows"]):
        rows = [r for r in record["rows"] if r["data"] == data]
        base = find(rows, way="plain") or rows[0]
        body = [
            [
                r["way"],
                f"{seconds(r):.2f}",
                f"{seconds(r) / seconds(base):.2f}",
                f"{r['extra_mb']:,.0f}",
                f"{r['extra_mb'] / base['extra_mb']:.2f}",
            ]
            for r in rows
        ]
        made += [
            f"### {data}: {base['pairs']} pairs, {base['tokens']:,} tokens, {base['padded']:,} when padded",
            table(["way", "seconds", "over plain", "extra MB", "over plain"], body),
        ]
    return [*made, origin(record)]


def training(record: dict[str, Any] | None) -> list[str]:
    """A table of steps for each batch, the loss curves in words."""
    if record is None:
        return ["Not measured yet: `make bench`."]
    rows, made = record["rows"], []
    steps = sorted((r for r in rows if r["part"] == "step"), key=lambda r: (not r["side"].startswith(PLAIN), r["side"]))
    for case in sorted({r["case"] for r in steps}):
        some = [r for r in steps if r["case"] == case]
        facts = next((r for r in some if "seconds" in r), None)
        if facts is not None:
            share = 1 - facts["tokens"] / facts["padded"]
            made.append(
                f"### {facts['pairs']} pairs, {case}: {facts['tokens']:,} tokens, {facts['padded']:,} when padded ({share:.0%})"
            )
        head = ["side", "seconds", "over plain", "extra MB", "over plain", "share of the limit", "rounds"]
        made.append(table(head, [step_line(r, find(some, side=PLAIN)) for r in some]))
    native = next((r["native"] for r in steps if r.get("precision") == "bfloat16" and "native" in r), None)
    if native is not None:
        made.append(
            f"This processor multiplies bfloat16 {f'natively ({native})' if native else 'by detours'}: {rates(steps)}."
        )
    return [*made, *curve_lines(rows), origin(record)]


def step_line(row: Row, base: Row | None) -> list[str]:
    """One side of one batch."""
    if "seconds" not in row:
        return [row["side"], f"*{row['not_run']}*", *[""] * 5]
    took, memory = seconds(row), row["extra_mb"]
    limit = row["multiply_adds"] / statistics.median(row["rate"])
    over = ["", ""] if base is None else [f"{took / seconds(base):.2f}", f"{memory / base['extra_mb']:.2f}"]
    return [
        row["side"],
        f"{took:.2f}",
        over[0],
        f"{memory:,.0f}",
        over[1],
        f"{limit / took:.0%}",
        str(len(row["seconds"])),
    ]


def rates(steps: Sequence[Row]) -> str:
    """The rates of `torch.mm` by precision."""
    found = {
        precision: [rate for r in steps if r.get("precision") == precision for rate in r.get("rate", [])]
        for precision in ("float32", "bfloat16")
    }
    made = [f"{statistics.median(some) / 1e9:.0f} billion in {name}" for name, some in found.items() if some]
    return f"of the multiply-adds of `torch.mm`, {' and '.join(made)} a second"


def curve_lines(rows: Sequence[Row]) -> list[str]:
    """What bfloat16 does to the loss."""
    found, distance = curves(rows), apart(rows)
    if found is None or distance is None:
        return []
    ends = [statistics.fmean(losses[-1] for losses in each) for each in found]
    starts = [statistics.fmean(losses[0] for losses in each) for each in found]
    spread = statistics.stdev(losses[-1] for losses in found[0])
    most = max(abs(a - b) for pair in zip(*found, strict=True) for a, b in zip(*pair, strict=True))
    return [
        "### Loss in bfloat16",
        (
            f"{len(found[0][0])} steps of a smaller batch, {len(found[0])} seeds, on the same pairs for a seed: in float32 the loss goes "
            f"from {starts[0]:.4f} to {ends[0]:.4f} (standard deviation over seeds {spread:.4f}), in bfloat16 from {starts[1]:.4f} to "
            f"{ends[1]:.4f}. The two mean curves lie {distance:.2f} standard errors of the mean apart; the largest difference between "
            f"the two of a seed at any step is {most:.4f}."
        ),
    ]


def probes(record: dict[str, Any] | None, base: str) -> list[str]:
    """A table of sides, times over those of `base`."""
    if record is None:
        return ["Not measured yet: `make bench`."]
    rows = [r for r in record["rows"] if "seconds" in r]
    first = find(rows, side=base)
    body = [
        [
            r["side"],
            f"{seconds(r):.2f}",
            "" if first is None else f"{seconds(r) / seconds(first):.2f}",
            f"{r['extra_mb']:,.0f}",
            str(len(r["seconds"])),
        ]
        for r in sorted(rows, key=seconds)
    ]
    return [table(["side", "seconds", f"over {base}", "extra MB", "rounds"], body), origin(record)]


def origin(record: dict[str, Any]) -> str:
    """Machine, versions, commands and dates of what is shown."""
    used = {r["session"] for r in record["rows"]}
    sessions = [s for i, s in enumerate(record["sessions"]) if i in used]
    m = sessions[-1]["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in m["packages"].items())
    commands = "; ".join(f"`{s['command']}` ({s['date'][:10]})" for s in sessions)
    return (
        f"Measured on {m['cpu']}, {m['cores']} cores, {m['threads']} threads, {m['memory_gb']} GB, {m['system']}, "
        f"Python {m['python']}: {versions}. By {commands}."
    )


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# The plot

STYLES = {
    "nearfar": ("#2f81d6", 2.8, "o"),
    "nearfar, any rule": ("#2f81d6", 1.4, "s"),
    "4 products": (INK, 1.2, ""),
    "torch": ("#8a919a", 1.8, "o"),
    "sentence-transformers": ("#d9822b", 1.4, "^"),
    "sentence-transformers cached": ("#d9822b", 1.8, "v"),
    "open_clip": ("#3c9f6e", 1.4, "D"),
    "lightly": ("#b06ab3", 1.4, "P"),
    "pytorch-metric-learning": ("#cf4f5f", 1.4, "X"),
}


def picture(record: dict[str, Any]) -> str:
    """Seconds and extra memory over the number of pairs, both logarithmic, as SVG that reads on light and on dark."""
    figure = new_figure(9.6, 4.4)
    rows = [r for r in record["rows"] if r["loss"] == "two ways" and all(r[k] == v for k, v in HEAD.items())]
    panels = {"seconds, forward and backward": seconds, "extra memory, MB": lambda r: r.get("extra_mb", 0.0)}
    for axes, (title, figure_of) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for peer, (colour, width, marker) in STYLES.items():
            some = sorted((r for r in rows if r["peer"] == peer and "seconds" in r), key=lambda r: r["size"])
            points = [(r["size"], figure_of(r)) for r in some if figure_of(r) > 0]
            if points:
                line = "--" if peer == "4 products" else "-"
                x, y = zip(*points, strict=True)
                axes.plot(x, y, line, marker=marker, color=colour, linewidth=width, markersize=5, label=peer)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        sizes = sorted({r["size"] for r in rows})
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_xlabel("pairs")
        axes.set_title(title, fontsize=11, loc="left")
        plain(axes)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return drawn(figure)


def main() -> None:
    """Render the page, and the picture where there is a record."""
    stored = records()
    PAGE.write_text(page(stored), "utf-8")
    if "loss_stage" in stored:
        PICTURE.write_text(picture(stored["loss_stage"]), "utf-8")


if __name__ == "__main__":
    main()
