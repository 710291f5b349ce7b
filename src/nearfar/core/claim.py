"""`Claim`: what a paper says of its method, as an experiment that runs - arms, data, metric, and the outcome that is expected.

It stands in the recipe's file as `CLAIM`, beside `recipe()`. Everything of it but `reading` decides about the outcome, and is part of
the fingerprint of the stored record: changing it voids the record. `nearfar.claims` runs and judges it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nearfar.core.use import Use

MOST_SETTINGS = 6  # that tuning may try, for every arm alike


@dataclass(frozen=True)
class Arm:
    """One side of the comparison: a recipe, and what is changed in it.

    recipe    its name, or "" for the recipe of the claim itself; a function of the recipe's file, for a rival that has no recipe
    settings  overrides by dotted name, as `--set` takes them: {"objective.rule": "info_nce"}
    options   of this arm, for the trial: {"decoder": "greedy"}
    """

    recipe: str | Callable[[], Any] = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A paper's claim as a paired experiment.

    text      what is claimed, one sentence that can be right or wrong
    expect    of the arms: "ours > rival", "ours = rival" (within the margin), "a < b < c"; several with commas: all must hold; of
              another metric than the claim's: "recall@10: ours > rival"
    arms      by name
    data      a data set by name (`nearfar list datasets`); its test part is touched by the final trials alone
    measure   what is measured of a trained model on the test part: a part of `measures/` and its options
    metric    which of its figures; its main one unless given
    better    "lower" for errors: tuning keeps the lowest then, and `expect` says "rival > ours"
    margin    in the metric's own unit: the least difference that counts; for "=" the most that counts as none
    both      settings of all arms
    unit      "seed": n trials of each arm, paired by seed. "item": one trial of each arm, paired by what the measure measures
    n         seeds; of items as many as there are
    tune      setting or option -> values: all combinations, at most six, are tried for every arm on one further seed and the dev
              part; the best of each arm is kept
    trial     a function (recipe, dataset, seed, split, options) -> Outcome | {metric: value} of the recipe's own file, where
              training a recipe and measuring the model is not the experiment
    source    where the paper says it, and its own figures
    scale     what is smaller or different here
    reading   what to make of the outcome, written afterwards; no part of the fingerprint
    """

    text: str
    expect: str
    arms: Mapping[str, Arm]
    data: str
    measure: Use | None = None
    metric: str = ""
    better: Literal["higher", "lower"] = "higher"
    margin: float = 0.0
    both: Mapping[str, Any] = field(default_factory=dict)
    unit: Literal["seed", "item"] = "seed"
    n: int = 10
    tune: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    trial: Callable[..., Any] | None = None
    source: str = ""
    scale: str = ""
    reading: str = ""
