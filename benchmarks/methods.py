"""What methods are worth beside one another: every recipe for pictures, or for sentences, with the same encoder, data and budget.

    NEARFAR_DATA=... python benchmarks/methods.py images            # half an hour on 2 cores; goes on where it was stopped
    NEARFAR_DATA=... python benchmarks/methods.py sentences
    python benchmarks/methods.py images --quick                     # three methods, one seed, printed and not stored

A claim compares a method with its rival as the paper has it. Here the methods meet: an encoder, a data set, a number of looks at
each record that go through the encoder, and a batch are the same for all. Of each method's own things - temperature, queue,
prototypes, number of looks - those are taken that its claim's own arm has, so that nothing is chosen here but the learning rate: by
one seed on the dev part, the same values for all. Then ten seeds on the test part, for which all methods draw the same first
weights and batches. Methods are found, not listed: whatever recipe reads these records and nothing else takes part, and those that
need more are told with what they need. Beside them stands the encoder as it is before anything is learned.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from measure import RECORDS, Record

from nearfar.claims.found import found, with_claims
from nearfar.claims.trial import dataset_of, measured, trained, untrained
from nearfar.core.parts import RECIPES, find, parts
from nearfar.core.recipe import Recipe
from nearfar.core.stage import Decode, Measure
from nearfar.core.tree import leaves, override
from nearfar.core.use import Use

SEEDS, DEV_SEED = 10, 1000
KEY = ("method", "learning_rate", "split", "seed")
UNTRAINED = "untrained"


@dataclass(frozen=True)
class Comparison:
    """What all methods of a page share.

    reads      the field of the records, the only one that a method may read
    base       the recipe that others are compared with, whose encoder is measured untrained too
    encoder    the one that all get, and its options
    instead_of the encoders of recipes that it may stand for; a recipe that needs another one does not take part
    looks      at each record in all, shared out over the looks that a method takes at once
    measures   a measure's name -> its figure
    views      a view's part -> what it is set to, in all methods that have it
    """

    dataset: str
    reads: str
    base: str
    encoder: tuple[str, Mapping[str, Any]]
    instead_of: frozenset[str]
    looks: float
    batch: int
    rates: Sequence[float]
    measures: Mapping[str, str]
    views: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


COMPARISONS = {
    "images": Comparison(
        "digits",
        "image",
        "image_views",
        ("convolutional", {"size": 8, "channels": 1, "width": 16}),
        frozenset({"convolutional"}),
        24.0,
        64,
        (1e-3, 3e-3),
        {"knn_accuracy": "accuracy", "linear_accuracy": "accuracy"},
        {"random_resized_crop": {"area": (0.4, 1.0)}},
    ),
    "sentences": Comparison(
        "stsb",
        "text",
        "dropout_views",
        ("transformer", {"depth": 1, "dimension": 64, "pooling": "mean", "vocabulary": 4096, "dropout": 0.1}),
        frozenset({"transformer", "pretrained", "static"}),
        1.0,
        64,
        (3e-4, 1e-3),
        {"sts_correlation": "spearman"},
    ),
}


# Recipes on common ground


class Unfit(Exception):
    """Why a recipe does not take part."""


def on_common_ground(name: str, shared: Comparison, columns: set[str]) -> Recipe:
    """The recipe with its claim's own settings, and what is common set over them. Raises Unfit."""
    recipe = own_recipe(name)
    if {feed.field for feed in recipe.streams} != {shared.reads}:
        raise Unfit("reads other records")
    if recipe.towers or any(feed.tower != "encoder" for feed in recipe.streams):
        raise Unfit("has further towers")
    if not recipe.fits:
        still = all(isinstance(stage, (Measure, Decode)) for stage in recipe.stages)
        raise Unfit("learns nothing" if still else "trains by a stage of its own")
    if recipe.encoder.part not in shared.instead_of:
        raise Unfit(f"has an encoder of its own kind, {recipe.encoder.part}")
    missing = set(recipe.columns) - columns
    if missing:
        raise Unfit(f"needs the column {', '.join(sorted(missing))}")
    told = leaves(recipe)
    recipe = replace(recipe, encoder=Use(*shared.encoder))
    streams = tuple(replace(feed, views=_views(feed.views, shared)) for feed in recipe.streams)
    # What a recipe measures by itself, on records that it holds out, is not asked for here.
    stages = tuple(stage for stage in recipe.stages if not isinstance(stage, (Measure, Decode)))
    recipe = replace(recipe, streams=streams, stages=stages)
    # Passes of several stages keep their proportions; a look is one row of one record through the encoder.
    passes = sum(float(fit.epochs) for fit in recipe.fits)
    at_once = sum(feed.copies for feed in recipe.streams)
    for fit in recipe.fits:
        epochs = round(float(fit.epochs) / passes * shared.looks / at_once, 3)
        for setting, value in (("epochs", epochs), ("batch_size", shared.batch), ("min_steps", 0)):
            if f"{fit.name}.{setting}" in told:
                recipe = override(recipe, f"{fit.name}.{setting}={value}")
    return recipe


def own_recipe(name: str) -> Recipe:
    """The recipe, with what its claim's own arm sets; of a recipe without a claim, as it is."""
    if name not in with_claims():
        return find(name, RECIPES).load()()
    made = found(name)
    own = next((arm for arm, told in made.claim.arms.items() if told.recipe in ("", name)), None)
    if own is None:
        return made.recipe()
    return made.arm(own)[0]


def _views(views: Sequence[Any], shared: Comparison) -> tuple[Any, ...]:
    """What is common of a method's views: colours, blur and mirrors say nothing of digits. Raises Unfit where nothing is."""
    if not shared.views:
        return tuple(views)
    uses = [view if isinstance(view, Use) else Use(view) for view in views if isinstance(view, (str, Use))]
    kept = [use for use in uses if use.part in shared.views]
    if not kept:
        raise Unfit(f"has views of its own, {', '.join(use.part for use in uses)}")
    # A view that shows less on purpose, a small crop, stays small.
    return tuple(
        use if "size" in use.options else Use(use.part, {**use.options, **shared.views[use.part]}) for use in kept
    )


def methods(shared: Comparison, columns: set[str]) -> tuple[list[str], dict[str, str]]:
    """Names of the recipes that take part, and why others that are for such data do not."""
    kind = {"image": "images", "text": "texts"}[shared.reads]
    fit, unfit = [], {}
    for part in parts(RECIPES, with_announced=False):
        if kind not in part.card.data:
            continue
        try:
            on_common_ground(part.name, shared, columns)
        except Unfit as why:
            unfit[part.name] = str(why)
        else:
            fit.append(part.name)
    return fit, unfit


# Trials


def trial(shared: Comparison, method: str, rate: float, split: str, seed: int) -> dict[str, Any]:
    """Train and measure: the figures, and the seconds of processor time that the training took."""
    dataset = dataset_of(shared.dataset)
    recipe = on_common_ground(shared.base if method == UNTRAINED else method, shared, set(dataset.train.columns))
    for fit in recipe.fits:
        recipe = override(recipe, f"{fit.name}.learning_rate={rate}")
    started = time.process_time()
    model = (untrained if method == UNTRAINED else trained)(recipe, dataset, seed)
    seconds = time.process_time() - started
    figures = {
        name: measured(Use(name), model, dataset, split).figure(figure) for name, figure in shared.measures.items()
    }
    row = {"method": method, "learning_rate": rate, "split": split, "seed": seed, "seconds": round(seconds, 2)}
    return row | {"figures": figures}


def _one_thread() -> None:
    torch.set_num_threads(1)


def run_all(pool: ProcessPoolExecutor, record: Record, shared: Comparison, trials: Sequence[tuple[Any, ...]]) -> None:
    """Those trials that are not stored yet."""
    left = [t for t in trials if record.find(**dict(zip(KEY, t, strict=True))) is None]
    going = {pool.submit(trial, shared, *one): one for one in left}
    for number, done in enumerate(as_completed(going), 1):
        try:
            row = done.result()
        except Exception as error:  # whatever it is: of a thousand trials, which one failed must be told
            raise SystemExit(f"{going[done]} failed: {error}") from error
        record.add([row])
        shown = ", ".join(f"{name} {value:.3f}" for name, value in row["figures"].items())
        print(
            f"  {number}/{len(left)}  {row['method']:<28} {row['split']:<4} seed {row['seed']:<4} {shown}", flush=True
        )


def chosen_rate(rows: Sequence[Mapping[str, Any]], method: str) -> float:
    """The rate whose first figure was highest on the dev part; the first one of equals."""
    dev = [row for row in rows if row["method"] == method and row["split"] == "dev"]
    return max(dev, key=lambda row: next(iter(row["figures"].values())))["learning_rate"]


def tuning(shared: Comparison, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Every method with every rate, once."""
    for name in names:
        for rate in shared.rates if name != UNTRAINED else shared.rates[:1]:
            yield name, rate, "dev", DEV_SEED


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("comparison", choices=list(COMPARISONS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="three methods, one seed, nothing stored")
    parser.add_argument("--fresh", action="store_true", help="forget what is stored")
    given = parser.parse_args()
    shared = COMPARISONS[given.comparison]
    names, unfit = methods(shared, set(dataset_of(shared.dataset).train.columns))
    seeds = range(1 if given.quick else SEEDS)
    if given.quick:
        names = names[:3]
    path = None if given.quick else RECORDS / f"methods_{given.comparison}.json"
    settings = json.loads(json.dumps(asdict(shared) | {"seeds": SEEDS}, default=list))
    record = Record(path, f"methods of {given.comparison}", KEY, settings, given.fresh)
    print(f"{len(names)} methods; not compared: {', '.join(f'{n} ({why})' for n, why in unfit.items()) or 'none'}")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.workers, context, initializer=_one_thread) as pool:
        names = [UNTRAINED, *names]
        run_all(pool, record, shared, list(tuning(shared, names)))
        finals = [(n, chosen_rate(record.rows, n), "test", seed) for seed in seeds for n in names]
        run_all(pool, record, shared, finals)
    record.rows = [row for row in record.rows if row["method"] in names]
    record.add(
        [{"method": n, "learning_rate": 0.0, "split": "", "seed": -1, "left_out": why} for n, why in unfit.items()]
    )


if __name__ == "__main__":
    main()
