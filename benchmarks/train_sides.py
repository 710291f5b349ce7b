"""The sides of `train_step.py`: who takes a training step, and how its own documentation says to.

A step goes from texts to moved weights: tokens, gradient of the symmetric InfoNCE of the batch, its norm, AdamW. Each takes the step
as its trainer does; ours with everything that the loop of `nf.train` does besides. All start from the same weights, without
dropout, and AdamW has a rate that moves no weight, so that every step is the same one and the sides must agree.
Gradients and AdamW's moments are made anew in each step, so that they count into everybody's memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Protocol

import torch
from peers import SYMMETRIC, TEMPERATURE
from torch import nn
from train_batches import Pair

STILL = 1e-30  # a learning rate below the spacing of float32: our loop refuses zero
PRODUCT, PRODUCT_SECONDS = (
    2048,
    0.5,
)  # rows of the square matrices by which the rate of torch.mm is measured, and for how long


@dataclass(frozen=True)
class Setup:
    """What the sides of a case share: the folder of the model, the most tokens of a text, our budget for a micro-batch."""

    folder: str
    max_tokens: int
    micro_batch: int


@dataclass(frozen=True)
class Taken:
    """What a step gave: its loss, the norm of its gradient, the share of the time that it waited for records."""

    value: float
    gradient_norm: float
    waited: float | None = None


class Side(Protocol):
    """One way to take a step."""

    def step(self, pairs: Sequence[Pair]) -> Taken:
        """One whole step on these pairs."""
        ...

    def forget(self) -> None:
        """Give back the gradients."""
        ...


def without_dropout(module: nn.Module) -> nn.Module:
    """The module with its dropout turned off, also in training."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module


# Ours


class Ours:
    """The loop that `nf.train` runs, on records in hand; a step is a whole training of one step."""

    def __init__(self, setup: Setup, precision: str) -> None:
        self.recipe = fine_tuning(setup, precision)
        self.encoder: Any = None

    def step(self, pairs: Sequence[Pair]) -> Taken:
        """A pass over the pairs in one batch."""
        import nearfar as nf

        records = nf.pairs(pairs).records()
        if self.encoder is None:
            self.encoder = encoder_of(self.recipe, records)
        entries: list[Mapping[str, Any]] = []
        fitted = fit(with_fit(self.recipe, batch_size=len(pairs)), records, self.encoder, entries)
        return Taken(entries[-1]["loss"], entries[-1]["gradient"], fitted.waited)

    def forget(self) -> None:
        self.encoder.zero_grad(set_to_none=True)


def fine_tuning(setup: Setup, precision: str) -> Any:
    """The recipe: one pass over pairs, symmetric InfoNCE on cosines, AdamW."""
    from nearfar.core.recipe import Contrast, Recipe, Use
    from nearfar.core.stage import Fit

    return Recipe(
        name="train-step",
        encoder=Use("pretrained", {"folder": setup.folder, "max_tokens": setup.max_tokens}),
        # Equal texts are negatives, as they are for the peers; harvested pairs have hardly any.
        objective=Contrast("info_nce", "paired", temperature=TEMPERATURE, both_ways=True, same_text="negative"),
        stages=(
            Fit(
                epochs=1,
                learning_rate=STILL,
                schedule="constant",
                micro_batch=setup.micro_batch,
                precision="bfloat16" if precision == "bfloat16" else "float32",
            ),
        ),
    )


def with_fit(recipe: Any, **changes: Any) -> Any:
    """The recipe with other settings of its only stage."""
    return replace(recipe, stages=(replace(recipe.stages[0], **changes),))


def encoder_of(recipe: Any, records: Any) -> Any:
    """Its encoder, without dropout."""
    from nearfar.training.prepare import towers_of

    return without_dropout(towers_of(recipe, records)[0]["encoder"])


def fit(recipe: Any, records: Any, encoder: Any, entries: list[Mapping[str, Any]] | None = None) -> Any:
    """Run the recipe's stage, preparation included, without a run directory; what it logs goes to `entries`."""
    from nearfar.core.model import Model
    from nearfar.training.fit import fit as run_fit
    from nearfar.training.state import State

    state = State(recipe, records, None, {"encoder": encoder}, {}, Model({"query": encoder}), None, {})
    if entries is not None:
        state.callbacks = [lambda entry, _: entries.append(entry)]
    return run_fit(recipe.stages[0], state)


def loss_curve(
    setup: Setup, precision: str, pairs: Sequence[Pair], *, batch: int, steps: int, rate: float, seed: int
) -> dict[str, Any]:
    """The losses of a short fine-tuning in earnest; the seed decides which pairs it sees when."""
    import nearfar as nf

    records = nf.pairs(pairs).records()
    recipe = replace(fine_tuning(setup, precision), seed=seed)
    entries: list[Mapping[str, Any]] = []
    recipe = with_fit(recipe, batch_size=batch, epochs=steps * batch / len(pairs), learning_rate=rate)
    fitted = fit(recipe, records, encoder_of(recipe, records), entries)
    return {"losses": [e["loss"] for e in entries], "seconds": fitted.seconds, "waited": fitted.waited}


# sentence-transformers


class SentenceTransformers:
    """MultipleNegativesRankingLoss, or with `cached` settings the cached one, in the order of work of its trainer."""

    def __init__(self, setup: Setup, precision: str, cached: Mapping[str, int]) -> None:
        losses = import_module("sentence_transformers.sentence_transformer.losses")
        self.model = import_module("sentence_transformers").SentenceTransformer(setup.folder, device="cpu")
        self.model.max_seq_length = setup.max_tokens
        without_dropout(self.model).train()
        kind = losses.CachedMultipleNegativesRankingLoss if cached else losses.MultipleNegativesRankingLoss
        self.loss = kind(self.model, scale=1 / TEMPERATURE, **SYMMETRIC, **cached)
        self.precision = precision
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]

    def step(self, pairs: Sequence[Pair]) -> Taken:
        """Tokens of both columns, loss, gradient, its norm (by which the trainer clips), AdamW."""
        optimiser = torch.optim.AdamW(self.parameters, lr=STILL, weight_decay=0.0, fused=True)
        optimiser.zero_grad(set_to_none=True)
        features = [self.model.preprocess(list(texts)) for texts in zip(*pairs, strict=True)]
        with self._arithmetic():
            value = self.loss(features, torch.zeros(0))
        value.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, torch.inf)
        optimiser.step()
        return Taken(float(value.detach()), float(norm))

    def forget(self) -> None:
        self.model.zero_grad(set_to_none=True)

    def _arithmetic(self) -> AbstractContextManager[Any]:
        return torch.autocast("cpu", torch.bfloat16) if self.precision == "bfloat16" else nullcontext()


@dataclass(frozen=True)
class Kind:
    """A side by name: its type of numbers, and how it is made."""

    precision: str
    make: Callable[[Setup, str], Side]


def _peer(**cached: int) -> Callable[[Setup, str], Side]:
    return lambda setup, precision: SentenceTransformers(setup, precision, cached)


PLAIN, OURS = "sentence-transformers", "nearfar"
CACHED = tuple(f"{PLAIN} cached, {size}" for size in (32, 64))  # pairs at once; 32 is its default
SIDES: dict[str, Kind] = {
    PLAIN: Kind("float32", _peer()),
    CACHED[0]: Kind("float32", _peer(mini_batch_size=32)),
    CACHED[1]: Kind("float32", _peer(mini_batch_size=64)),
    OURS: Kind("float32", Ours),
    f"{OURS}, bfloat16": Kind("bfloat16", Ours),
    f"{PLAIN}, bfloat16": Kind("bfloat16", _peer()),
}


# The physical limit


def product_rate(precision: str, size: int = PRODUCT, seconds: float = PRODUCT_SECONDS) -> float:
    """Multiply-adds a second of `torch.mm`: the quickest of the square products that fit into so many seconds."""
    dtype = getattr(torch, precision)
    draws = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=draws).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    best, begun = torch.inf, time.perf_counter()
    while time.perf_counter() - begun < seconds or best == torch.inf:
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - started)
    return size**3 / best
