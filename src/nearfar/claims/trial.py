"""One trial of a claim: an arm on a data set with a seed - train, measure, forget. A pure function of its arguments.

Trials run in processes of their own, a core each, so that a claim costs the same on any machine with so many cores; the result
does not depend on which process it was.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch

from nearfar.claims.found import Found, found
from nearfar.core.errors import NearfarError, UsageError
from nearfar.core.model import Model
from nearfar.core.parts import resolve
from nearfar.core.recipe import Recipe
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.probes.outcome import Outcome
from nearfar.training.options import options
from nearfar.training.prepare import model_of, towers_of
from nearfar.training.train import Trained, train_run


@dataclass(frozen=True)
class Trial:
    """What is tried: the claim, one of its arms with what was chosen for it, a seed, and the part that is measured on."""

    word: str
    arm: str
    seed: int
    split: str
    chosen: Mapping[str, Any]

    @property
    def key(self) -> str:
        """By which a record finds a trial again."""
        settings = ",".join(f"{name}={value}" for name, value in sorted(self.chosen.items()))
        return f"{self.arm} | {self.split} | seed {self.seed} | {settings}"


@dataclass(frozen=True)
class Tried:
    """Its figures, the seconds of processor time it took, and, where units are items, what the metric is made of."""

    trial: Trial
    figures: Mapping[str, float]
    main: str
    seconds: float
    outcome: Outcome | None = None


@lru_cache(maxsize=4)
def dataset_of(name: str) -> Dataset:
    """A data set by name, read once a process."""
    return resolve(name, "datasets")()


@lru_cache(maxsize=4)
def _found(word: str) -> Found:
    return found(word)


def run_trial(trial: Trial, *, keep: bool = False) -> Tried:
    """Train the arm and measure it on the part; `keep` gives the outcome too."""
    made = _found(trial.word)
    recipe, given = made.arm(trial.arm, trial.chosen)
    dataset = dataset_of(made.claim.data)
    started = time.process_time()
    if made.claim.trial is not None:
        result = made.claim.trial(recipe, dataset, trial.seed, trial.split, given)
    else:
        result = train_and_measure(recipe, dataset, trial.seed, trial.split, made.claim.measure)
    seconds = time.process_time() - started
    if isinstance(result, Outcome):
        return Tried(trial, result.figures(), result.main, seconds, result if keep else None)
    figures = {name: float(value) for name, value in result.items()}
    if bad := [name for name, value in figures.items() if not np.isfinite(value)]:
        raise UsageError(
            f"{bad[0]} of {trial.key} is {figures[bad[0]]}", where=made.name, remedy="a trial gives finite figures"
        )
    return Tried(trial, figures, next(iter(figures)), seconds)


def train_and_measure(recipe: Recipe, dataset: Dataset, seed: int, split: str, measure: Use | None) -> Outcome:
    """The usual trial: train on the data set's training part, measure the model on another one."""
    assert measure is not None
    return measured(measure, trained(recipe, dataset, seed), dataset, split)


def trained(recipe: Recipe, dataset: Dataset, seed: int) -> Model:
    """The model of a recipe, trained on the whole training part; the run's folder is thrown away."""
    return trained_run(recipe, dataset, seed).model


def trained_run(recipe: Recipe, dataset: Dataset, seed: int) -> Trained:
    """The same with what was learned beside the model: `prepared.learner` has the objective, with a decoder say."""
    with tempfile.TemporaryDirectory(prefix="nearfar-claim-") as folder, warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", RuntimeWarning
        )  # findings of the doctor: a claim's weak arm is meant to be weak
        return train_run(recipe, dataset.train, out=f"{folder}/run", settings=("held_out=0.0",), seed=seed)


def untrained(recipe: Recipe, dataset: Dataset, seed: int) -> Model:
    """The model before it has learned anything, with the weights that a training with this seed begins at."""
    recipe = replace(recipe, seed=seed)
    return model_of(recipe, towers_of(recipe, dataset.train)[0]).eval()


def measured(measure: Use, model: Any, dataset: Dataset, split: str) -> Outcome:
    """What a measure says of a model on a part of a data set."""
    function = resolve(measure.part, "measures")
    return partial(function, **options(measure, function, "measure", given=3))(model, dataset, split)


def in_process(trial: Trial, keep: bool) -> Tried | str:
    """`run_trial` as a worker does it; an error comes back as text, since not all of them travel between processes."""
    try:
        return run_trial(trial, keep=keep)
    except NearfarError as error:
        return str(error)


def alone() -> None:
    """What a worker process does first: one thread, so that several do not get in each other's way."""
    torch.set_num_threads(1)
