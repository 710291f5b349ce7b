"""The report of one training run: what was trained, how the loss fell, what it is worth on held-out pairs."""

from __future__ import annotations

import math
from pathlib import Path

from nearfar.probes.statistics import Interval
from nearfar.report.page import write
from nearfar.report.sections import Comparison, Curve, Report, Section, Table
from nearfar.training.train import Trained


def write_run_report(made: Trained) -> Path:
    """Render `report.html` into the run directory; returns its path."""
    about, logged = made.model.about, [e for e in made.run.logged() if "loss" in e]
    sections: list[Section] = []
    if logged:
        sections.append(
            Curve(
                "How the loss fell",
                [e["step"] for e in logged],
                [e["loss"] for e in logged],
                chance=math.log(max(2, logged[-1]["keys"]))
                if about["recipe"]["objective"].get("rule") == "info_nce"
                else None,
            )
        )
    if made.figures:
        shown = {"MRR": "mrr", "recall@10": "recall@10"}
        metrics = {title: {"this model": Interval(**made.figures[name])} for title, name in shown.items()}
        kind = "pairs" if about["recipe"]["data"] == "pairs" else "records"
        sections.append(Comparison(f"Held-out {kind}", metrics, highlight="this model"))
    recipe = {k: getattr(v, "__name__", v) for k, v in _settings(about["recipe"]).items()}
    sections.append(Table("Settings", ("setting", "value"), [(k, str(v)) for k, v in recipe.items()]))
    facts = {
        "records": f"{about['data']['records']:,}",
        "steps": f"{made.fitted.steps:,}",
        "trained in": f"{made.fitted.seconds:.0f} s",
    }
    if made.figures:
        facts = {
            "MRR": f"{made.figures['mrr']['mean']:.3f}",
            "recall@10": f"{made.figures['recall@10']['mean']:.3f}",
            **facts,
        }
    dropped = [e["dropped_negatives"] for e in logged if "dropped_negatives" in e]
    if dropped:
        facts["negatives dropped a query"] = f"{dropped[-1]:.2f}"
    page = Report(
        title=f"Run {made.run.directory.name}",
        subtitle=f"{about['recipe']['name']} on {about['data']['source']}",
        facts=facts,
        sections=sections,
    )
    write(page, made.run.report)
    return made.run.report


def _settings(recipe: dict[str, object], prefix: str = "") -> dict[str, object]:
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
