"""`train`: a recipe on the user's own pairs, in one call; the run is written down, the model comes back.

model = nf.train("pairs", data="pairs.jsonl")
model = nf.train("pairs", data=[("how to sort a list", "sorted(items)"), ...])
model = nf.train("./my_method.py", data=frame, columns="question,answer")
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nearfar.core.directories import latest
from nearfar.core.errors import DataError, UsageError
from nearfar.core.files import ensure_directory
from nearfar.core.model import Model
from nearfar.core.parts import resolve
from nearfar.core.progress import bar
from nearfar.core.recipe import Recipe
from nearfar.core.tree import override, to_json
from nearfar.data.pair_table import PairTable
from nearfar.data.pairs import pairs
from nearfar.data.records import Note
from nearfar.data.split import split
from nearfar.training.build import ContrastTerm, fit_encoder
from nearfar.training.checkpoint import stage_of
from nearfar.training.fit import Fitted, Progress, fit
from nearfar.training.held_out import measure, summary
from nearfar.training.own_file import recipe_from_file
from nearfar.training.run import BAD_RECORDS, Run


@dataclass(frozen=True)
class Trained:
    """What `train_run` gives back: the model, its run directory, how the fit went, and the held-out figures."""

    model: Model
    run: Run
    fitted: Fitted
    table: PairTable
    held_out: PairTable | None
    figures: dict[str, Any]
    notes: tuple[Note, ...] = ()


def train(
    recipe: str | Path | Recipe = "pairs",
    data: Any = None,
    *,
    columns: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    resume: str | Path | None = None,
    on_bad: Literal["raise", "skip"] = "raise",
    progress: Progress | bool = True,
) -> Model:
    """Train a recipe on pairs and return the model.

    recipe     a name (`nearfar list recipes`), a Python file of yours that defines `recipe()`, or a Recipe
    data       a path (jsonl, csv, tsv, parquet), a list of pairs, a dict of arrays, a DataFrame
    columns    "question,answer", further ones are explicit hard negatives; found by themselves when there is no doubt
    out        the run directory; runs/NAME-1, -2, ... unless given
    settings   overrides such as "fit.batch_size=512", "objective.temperature=0.1"
    resume     the directory of an interrupted run to go on with, on the same data
    on_bad     "skip" leaves bad records out and lists them in bad_records.jsonl beside the run

    progress   a bar on a terminal; False for none, or a function (step, steps, loss)

    Ctrl-C ends the training early and returns the model so far, with a warning; the run can be resumed.
    Raises the errors of `pairs` for bad data, UsageError for a wrong setting, ResourceError for an unwritable place.

    >>> import nearfar as nf, tempfile
    >>> data = [(f"the number {i}", f"return {i}") for i in range(40)]
    >>> model = nf.train("pairs", data, out=tempfile.mkdtemp(), settings=["fit.epochs=1", "encoder.dimension=16"])
    >>> model.encode(["the number 7"]).shape
    (1, 16)
    """
    quiet = progress is False or not sys.stderr.isatty()
    with bar("training", quiet) as update:
        made = train_run(
            recipe,
            data,
            columns=columns,
            out=out,
            settings=settings,
            seed=seed,
            resume=resume,
            on_bad=on_bad,
            progress=progress
            if callable(progress)
            else lambda done, total, loss: update(done, total, f"loss {loss:.3f}"),
        )
    if made.fitted.interrupted:
        warnings.warn(
            f"training was interrupted after {made.fitted.steps} of {made.fitted.total} steps; this is the model so far. "
            f"Go on with resume={str(made.run.directory)!r}",
            stacklevel=2,
        )
    return made.model


def train_run(
    recipe: str | Path | Recipe = "pairs",
    data: Any = None,
    *,
    columns: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    resume: str | Path | None = None,
    on_bad: Literal["raise", "skip"] = "raise",
    progress: Progress | None = None,
    held_out: PairTable | None = None,
    on_start: Callable[[Model], None] | None = None,
) -> Trained:
    """`train` with everything that is known afterwards.

    `held_out` pairs of one's own replace the random share; `on_start` sees the model before its first step.
    """
    chosen = recipe_of(recipe, settings, seed)
    if data is None:
        raise UsageError(
            "there is no data to train on", where="data", remedy="pass a file, a list of pairs, or a DataFrame"
        )
    run = None if resume is None else Run.open(resume)
    bad = None
    if on_bad == "skip":
        bad = Path(out or resume or "runs") / BAD_RECORDS
        ensure_directory(bad.parent)
    table = pairs(data, columns, on_bad=on_bad, bad_records=bad)
    config = {
        "recipe": to_json(chosen),
        "data": {
            "source": table.source,
            "columns": list(table.columns),
            "pairs": len(table),
            "fingerprint": table.fingerprint,
        },
    }
    fitted_on, rest = (table, held_out) if held_out is not None else _split(table, chosen)
    if run is None:
        run = Run.new(None if out is None else Path(out), chosen.name, config)
        if bad is not None and bad.exists() and bad.parent != run.directory:
            bad.replace(run.directory / BAD_RECORDS)
    else:
        _same_run(run, config)
    about = {"recipe": _digest(config["recipe"]), "data": table.fingerprint}
    encoder = fit_encoder(chosen.encoder, {"query": fitted_on.queries, "document": fitted_on.documents}, chosen.seed)
    term = ContrastTerm(chosen.objective, explicit=fitted_on.has_negatives)
    similarity = "cosine" if chosen.objective.similarity == "cosine" else "dot"
    model = Model({"query": encoder, "document": encoder}, similarity)
    if on_start is not None:
        on_start(model)
    fitted = Fitted(0, 0, [], 0.0)
    # The checkpoint of a later stage contains what the earlier ones left.
    entered = stage_of(run.checkpoint) if resume is not None and latest(run.checkpoint).exists() else None
    for stage in chosen.stages:
        if entered is not None and stage.name != entered:
            continue
        fitted = fit(
            stage,
            encoder,
            term,
            fitted_on,
            seed=chosen.seed,
            run=run,
            resume=entered is not None,
            about=about,
            progress=progress,
        )
        entered = None
        if fitted.interrupted:
            break
    model.eval()
    figures = summary(measure(model, rest)) if rest is not None and len(rest) >= 2 else {}
    model.about = {
        **config,
        "steps": fitted.steps,
        "seconds": round(fitted.seconds, 3),
        "held_out": figures,
        "run": str(run.directory),
        "interrupted": fitted.interrupted,
    }
    if not fitted.interrupted:
        model.save(run.model)
    return Trained(model, run, fitted, fitted_on, rest, figures, table.notes)


def recipe_of(recipe: str | Path | Recipe, settings: Sequence[str] = (), seed: int | None = None) -> Recipe:
    """A recipe by name, file or value, with its overrides."""
    if isinstance(recipe, Recipe):
        made = recipe
    elif str(recipe).endswith(".py"):
        made = recipe_from_file(recipe)
    else:
        made = resolve(str(recipe), "recipes")()
    for setting in settings:
        made = override(made, setting)
    return made if seed is None else replace(made, seed=seed)


def _split(table: PairTable, recipe: Recipe) -> tuple[PairTable, PairTable | None]:
    """Training and held-out pairs; everything is for training when the data are too few or too connected to hold out any."""
    if recipe.held_out <= 0 or len(table) < 20:
        return table, None
    try:
        return split(table, recipe.held_out, recipe.seed)
    except DataError:
        return table, None


def _same_run(run: Run, config: dict[str, Any]) -> None:
    """A resumed run goes on with the recipe and the data it began with."""
    for name in ("recipe", "data"):
        was, now = (
            {k: v for k, v in c[name].items() if k != "source"} for c in (run.config, json.loads(json.dumps(config)))
        )
        if was != now:
            changed = sorted(k for k in was if was[k] != now.get(k))
            raise UsageError(
                f"this run was started with another {name} ({', '.join(changed)} differ)",
                where=str(run.directory / "config.json"),
                remedy=f"give the same {name}, or start a new run",
            )


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
