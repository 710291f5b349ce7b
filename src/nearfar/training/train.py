"""`train`: a recipe on the user's own records, in one call; the run is written down, the model comes back.

model = nf.train("pairs", data="pairs.jsonl")
model = nf.train("pairs", data=[("how to sort a list", "sorted(items)"), ...])
model = nf.train("./my_method.py", data=frame, columns="question,answer")
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nearfar.core.errors import DataError, NearfarError, UsageError
from nearfar.core.files import ensure_directory
from nearfar.core.model import Model
from nearfar.core.parts import resolve
from nearfar.core.progress import bar
from nearfar.core.recipe import Recipe
from nearfar.core.stage import Decode, Fit, Measure, Refresh, Transform
from nearfar.core.tree import from_json, override, to_json
from nearfar.data.bad_records import BadRecords
from nearfar.data.pair_table import PairTable
from nearfar.data.records import Note, Records
from nearfar.execution.ranks import Ranks
from nearfar.probes.retrieval import Retrieval
from nearfar.training.checkpoint import load_checkpoint
from nearfar.training.fit import Fitted
from nearfar.training.held_out import counterparts, measure, summary
from nearfar.training.loggers import CsvLogger, TensorBoardLogger
from nearfar.training.open_data import Opened, open_data
from nearfar.training.own_file import recipe_from_file
from nearfar.training.prepare import model_of, towers_of
from nearfar.training.processes import join, told
from nearfar.training.progress import Standing
from nearfar.training.run import BAD_RECORDS, Run
from nearfar.training.several import again
from nearfar.training.stages import run_stage
from nearfar.training.state import Progress, State
from nearfar.training.stored_held_out import store_held_out

OF_THE_LIBRARY = (Fit, Refresh, Transform, Measure, Decode)  # stages; others are of a recipe's own


@dataclass(frozen=True)
class Trained:
    """What `train_run` gives back: the model, its run directory, how the fit went, the held-out figures and, behind them, the rank
    of every query, the doctor's findings, which of the processes this is, and the last stage as it was prepared.
    """

    model: Model
    run: Run
    fitted: Fitted
    records: Records
    held_out: Records | None
    figures: dict[str, Any]
    retrieval: Retrieval | None = None
    notes: tuple[Note, ...] = ()
    findings: tuple[Any, ...] = ()
    rank: int = 0
    prepared: Any = None


def train(
    recipe: str | Path | Recipe | None = None,
    data: Any = None,
    *,
    progress: Callable[[int, int, float], None] | bool = True,
    **options: Any,
) -> Model:
    """Train a recipe and return the model. Options are those of `train_run`:

    recipe     a name (`nearfar list recipes`), a Python file of yours that defines `recipe()`, or a Recipe; "pairs" unless given
    data       a path (jsonl, csv, tsv, parquet, a folder of images or sounds), a list of pairs, arrays by field, a DataFrame, `Records`;
               several data sets of pairs by name: {"nli": "nli.jsonl", "qa": "qa.jsonl"}, each of them perhaps with columns and
               prompts of its own: {"data": "qa.jsonl", "columns": "question,answer", "prompts": {"query": "question: "}}
    columns    "question,answer", further ones are explicit hard negatives; found by themselves when there is no doubt
    out        the run directory; runs/NAME-1, -2, ... unless given
    settings   overrides such as "fit.batch_size=512", "objective.temperature=0.1"
    seed       the only source of chance
    resume     the directory of an interrupted run to go on with, on the same data
    on_bad     "skip" leaves bad records out and lists them in bad_records.jsonl beside the run
    bad_share  of all records that may be bad under "skip", before the run stops; 0.01 unless given
    held_out   records of one's own for evaluation, instead of a random share
    licence    under which the model may be used, such as "apache-2.0"; its page says so
    callbacks  functions (entry, learner), called after each step with what was logged of it
    loggers    objects with a method log(entry), or functions of an entry, beside the run's own csv and TensorBoard files

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

        def shown(at: Standing) -> None:
            if callable(progress):
                progress(at.step, at.total, at.loss)
            else:
                update(at.step, at.total, str(at))

        made = train_run(recipe, data, progress=shown, **options)
    if made.fitted.interrupted:
        warnings.warn(
            f"training was interrupted after {made.fitted.steps} of {made.fitted.total} steps; this is the model so far. "
            f"Go on with resume={str(made.run.directory)!r}",
            stacklevel=2,
        )
    return made.model


def train_run(
    recipe: str | Path | Recipe | None = None,
    data: Any = None,
    *,
    columns: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    resume: str | Path | None = None,
    on_bad: Literal["raise", "skip"] = "raise",
    bad_share: float | None = None,
    progress: Progress | None = None,
    held_out: PairTable | Records | None = None,
    licence: str | None = None,
    on_start: Callable[[Model], None] | None = None,
    callbacks: Sequence[Callable[[Mapping[str, Any], Any], None]] = (),
    loggers: Sequence[Any] = (),
) -> Trained:
    """`train` with everything that is known afterwards.

    `on_start` sees the model before its first step, `progress` where the training stands after each. `resume` alone goes on with the
    recipe, the settings and the file it began with.
    """
    together = join()
    run = None if resume is None else Run.open(resume)
    if run is not None and data is None:
        recipe, data, columns = _as_it_began(run, recipe, columns)
    if run is not None and on_bad == "raise":
        on_bad = run.config.get("on_bad", on_bad)
    chosen = recipe_of("pairs" if recipe is None else recipe, settings, seed)
    _refuse_twins(chosen)
    writes = together is None or together.rank == 0
    share = BadRecords.share if bad_share is None else bad_share
    if run is not None and bad_share is None:
        share = run.config.get("bad_share", share)
    if run is not None and licence is None:
        licence = run.config.get("licence")
    bad = BadRecords(on_bad, _bad_file(out, resume) if on_bad == "skip" and writes else None, share)
    opened = open_data(chosen, data, columns, on_bad=on_bad, bad_records=_path(bad), bad_share=share, held_out=held_out)
    config = {
        "recipe": to_json(chosen),
        "data": {
            "source": opened.whole.source,
            "columns": list(opened.names),
            "records": len(opened.whole),
            "fingerprint": opened.whole.fingerprint,
            **({"sources": opened.sources} if opened.sources else {}),
        },
        "on_bad": on_bad,
        "bad_share": share,
        **({"licence": licence} if licence else {}),
    }
    run = _run_of(run, out, chosen, config, bad, together)
    with _taken_back(run, resume is None and writes):
        state = _state(chosen, opened, config, run, together, bad)
        state.progress, state.callbacks = progress, callbacks
        state.loggers = [
            CsvLogger(run.directory / "metrics.csv"),
            TensorBoardLogger(run.directory / "tensorboard"),
            *loggers,
        ]
        if resume is not None:
            state.resumed = load_checkpoint(run.checkpoints, state.about)
        if on_start is not None:
            on_start(state.model)
        first = 0 if state.resumed is None else state.resumed.stage
        if state.resumed is not None:
            state.measured = _measured_before(run, chosen.stages[:first])
        for number, stage in enumerate(chosen.stages):
            if number < first:
                continue
            state.stage = number
            run_stage(stage, state)
            if state.fitted is not None and state.fitted.interrupted:
                break
    return _finished(state, run, config, opened)


def _measured_before(run: Run, stages: Sequence[Any]) -> dict[str, Any]:
    """What stages measured that are over, by the log."""
    names = {stage.name for stage in stages}
    return {e["stage"]: e["measured"] for e in run.logged() if "measured" in e and e.get("stage") in names}


@contextmanager
def _taken_back(run: Run, new: bool) -> Iterator[None]:
    """A new run that fails before its first step leaves no directory, so that the same command can be typed again once it is mended."""
    try:
        yield
    except NearfarError:
        begun = [path.name for path in run.directory.iterdir() if path.name != BAD_RECORDS]
        if new and begun == ["config.json"]:
            (run.directory / "config.json").unlink()
            with suppress(OSError):  # not empty: bad records are what there is to look at
                run.directory.rmdir()
        raise


def _finished(state: State, run: Run, config: dict[str, Any], opened: Opened) -> Trained:
    model = state.model.eval()
    fitted = state.fitted or Fitted(0, 0, [], 0.0)
    retrieval = _measured(state)
    figures = {} if retrieval is None else summary(retrieval)
    model.about = {
        **config,
        "steps": fitted.steps,
        "seconds": round(fitted.seconds, 3),
        "held_out": figures,
        "measured": state.measured,
        "run": str(run.directory),
        "interrupted": fitted.interrupted,
    }
    if not fitted.interrupted and (state.ranks is None or state.ranks.rank == 0):
        model.save(run.model)
        if retrieval is not None and state.held_out is not None:
            store_held_out(run, retrieval, state.held_out, config)
    findings = tuple(state.findings)
    rank = 0 if state.ranks is None else state.ranks.rank
    notes = opened.whole.notes
    return Trained(
        model, run, fitted, state.records, state.held_out, figures, retrieval, notes, findings, rank, state.prepared
    )


def _measured(state: State) -> Retrieval | None:
    """What the held-out records say of the model; None where there are too few."""
    part = state.held_out
    if part is None or len(part) < 2:
        return None
    if state.recipe.data == "pairs":
        return measure(state.model, part)
    return None if state.prepared is None else counterparts(state.prepared, part)


def _state(
    recipe: Recipe, opened: Opened, config: dict[str, Any], run: Run, together: Ranks | None, bad: BadRecords
) -> State:
    towers, heads = towers_of(recipe, opened.records)
    about = {"recipe": _digest(config["recipe"]), "data": opened.whole.fingerprint}
    writes = run if together is None or together.rank == 0 else None
    return State(
        recipe,
        opened.records,
        opened.held_out,
        towers,
        heads,
        model_of(recipe, towers),
        writes,
        about,
        directory=run.directory,
        ranks=together,
        bad=bad,
    )


def _run_of(
    run: Run | None,
    out: str | Path | None,
    recipe: Recipe,
    config: dict[str, Any],
    bad: BadRecords,
    together: Ranks | None,
) -> Run:
    """The run's directory: the one to go on with, or a new one, which the first rank makes and names to the others."""
    if run is not None:
        _same_run(run, config)
        return run
    name, problem = "", None
    if together is None or together.rank == 0:
        try:
            run = Run.new(None if out is None else Path(out), recipe.name, config)
            name = str(run.directory)
        except NearfarError as error:
            problem = error
    name = told(name, together)
    if problem is not None:
        raise problem
    if not name:
        raise DataError("the first process could not make the run's directory", remedy="see what it says")
    run = run or Run.open(name)
    written = _path(bad)
    if written is not None and written.exists() and written.parent != run.directory:
        written.replace(run.directory / BAD_RECORDS)
        bad.path = run.directory / BAD_RECORDS
    elif written is not None:
        bad.path = run.directory / BAD_RECORDS
    return run


def _as_it_began(
    run: Run, recipe: str | Path | Recipe | None, columns: str | Sequence[str] | None
) -> tuple[str | Path | Recipe, Any, str | Sequence[str] | None]:
    """Recipe, data file and columns of a run."""
    data, stored = run.config["data"], run.config["recipe"]
    for one in data.get("sources", {"": data}).values():
        if not Path(one["source"]).exists():
            raise UsageError(
                f"the run was trained on {one['source']}, which is no file that could be read again",
                where=str(run.directory / "config.json"),
                remedy="give the same data again",
            )
    if recipe is None or recipe == stored["name"]:
        recipe = _stored_recipe(stored, str(run.directory / "config.json"))
    if "sources" in data:
        return recipe, again(data["sources"]), columns
    return recipe, data["source"], columns or data["columns"]


def _stored_recipe(stored: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from a run's configuration; a stage of its own is read as what the catalogue's recipe of that name has there."""
    try:
        known = {stage.name: type(stage) for stage in resolve(stored["name"], "recipes")().stages}
    except UsageError:  # a user's own recipe
        known = {}
    own = {
        i: from_json(known[stage["name"]], stage, f"{where}.stages[{i}]")
        for i, stage in enumerate(stored["stages"])
        if stage["name"] in known and known[stage["name"]] not in OF_THE_LIBRARY
    }
    rest = [stage for i, stage in enumerate(stored["stages"]) if i not in own]
    read = from_json(Recipe, {**stored, "stages": rest}, where)
    others = iter(read.stages)
    return replace(read, stages=tuple(own[i] if i in own else next(others) for i in range(len(stored["stages"]))))


def _bad_file(out: str | Path | None, resume: str | Path | None) -> Path:
    path = Path(out or resume or "runs") / BAD_RECORDS
    ensure_directory(path.parent)
    return path


def _path(bad: BadRecords) -> Path | None:
    return None if bad.path is None else Path(bad.path)


def _refuse_twins(recipe: Recipe) -> None:
    names = [getattr(stage, "name", "") for stage in recipe.stages]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise UsageError(
            f"two stages are called {twins[0]!r}, and the log could not tell them apart",
            where="stages",
            remedy="give each a name of its own",
        )


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


def _same_run(run: Run, config: dict[str, Any]) -> None:
    """A resumed run goes on with the recipe and the data it began with."""
    for name in ("recipe", "data"):
        was, now = (_without_places(c[name]) for c in (run.config, json.loads(json.dumps(config))))
        if was != now:
            changed = list(_changes(was, now))
            others = f" and {len(changed) - 3:,} more" if len(changed) > 3 else ""
            raise UsageError(
                f"this run was started with {'other data' if name == 'data' else 'another recipe'}: {', '.join(changed[:3])}{others}",
                where=str(run.directory / "config.json"),
                remedy=f"give the same {name}, or start a new run",
            )


def _changes(was: Any, now: Any, place: str = "") -> Iterator[str]:
    """What differs, by the names that `--set` knows: "fit.epochs was 3, now 5"."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in {**was, **now}:
            yield from _changes(was.get(key), now.get(key), f"{place}.{key}" if place else str(key))
    elif _named(was) and _named(now) and [v["name"] for v in was] == [v["name"] for v in now]:
        for old, new in zip(was, now, strict=True):
            yield from _changes(old, new, old["name"])
    elif was != now:
        told = f"{place.replace('.options.', '.')} was {was}, now {now}"
        yield "other contents" if place.endswith("fingerprint") else told


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) and "name" in v for v in value)


def _without_places(data: Mapping[str, Any]) -> dict[str, Any]:
    """What is written down of a recipe or data, but for the paths: data may have moved."""
    kept = {k: v for k, v in data.items() if k != "source"}
    sources = {name: _without_places(one) for name, one in data.get("sources", {}).items()}
    return kept | {"sources": sources} if sources else kept


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(_floats(data), sort_keys=True).encode()).hexdigest()[:16]


def _floats(data: Any) -> Any:
    """Whole numbers as others: what a recipe says as 3 comes back from its configuration as 3.0, and is the same."""
    if isinstance(data, Mapping):
        return {key: _floats(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_floats(value) for value in data]
    return float(data) if isinstance(data, int) and not isinstance(data, bool) else data
