"""Recipes of every kind of stream, state and stage on a table of numbers that trains in a second, for tests of the loop."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import nn

import nearfar as nf
from nearfar.core.batching import Batching
from nearfar.core.ramp import Ramp
from nearfar.core.recipe import Also, Contrast, Feed, Named, Recipe, Use
from nearfar.core.stage import Fit, Refresh, Transform
from nearfar.data.records import Records
from nearfar.objectives.composed import Local

FEATURES, KINDS = 8, 6


def table(n=90, seed=0):
    """Records around a few centres: `row` and its `label`."""
    chance = np.random.default_rng(seed)
    label = np.arange(n) % KINDS
    centres = chance.normal(size=(KINDS, FEATURES)) * 2
    rows = centres[label] + 0.5 * chance.normal(size=(n, FEATURES))
    return Records({"row": list(rows.astype(np.float32))}, {"label": label})


@dataclass(frozen=True)
class Noise:
    """A view of records: numbers added, drawn by record."""

    scale: float = 0.3
    on_inputs: ClassVar[bool] = False

    def __call__(self, records, draws):
        noise = draws.normal("noise", FEATURES).float().numpy() * self.scale
        return [record + n for record, n in zip(records, noise, strict=True)]


class Dropout(nn.Module):
    """A local head that draws from torch's generator."""

    def __init__(self):
        super().__init__()
        self.drop, self.linear = nn.Dropout(0.3), nn.Linear(8, 8)

    def forward(self, vectors):
        return self.linear(self.drop(vectors))


ENCODER = Use("mlp", {"hidden": 16, "layers": 2, "dimension": 8})
VIEWS = (Noise(),)
X, Y = Feed("x", "row", views=VIEWS), Feed("y", "row", views=VIEWS)
FIT = Fit(batch_size=32, epochs=6, learning_rate=0.01, checkpoint_steps=5, checkpoint=1e9)


def small(name, *, fit=FIT, streams=(X, Y), objective=None, **changes):
    contrast = Contrast(temperature=0.2, learn_temperature=True) if objective is None else objective
    return Recipe(name, ENCODER, contrast, (fit,), data="records", streams=streams, **changes)


def with_predictor(dimension):
    predictor = nf.predictor(dimension, hidden=12)
    return nf.byol((("x", "target"),), predictor=predictor)


def reconstruction():
    decoder = nn.Linear(8, 3)

    def loss(outputs):
        vectors = outputs.rows.vectors
        return decoder(vectors).square().sum(), torch.tensor(float(len(vectors)))

    return Local(loss, stream="x")


def changed(fit, **fields):
    return replace(fit, **fields)


AMONG = Contrast(relation=Use("paired", {"column": "label"}), temperature=0.2, both_ways=False, y=None)
MOMENTUM = changed(FIT, teacher=Ramp(0.9, 1.0, shape="cosine"))
# For objectives that do not know a common shift of all vectors: its gradient is rounding, which Adam would make large.
BY_SGD = changed(FIT, optimiser="sgd", learning_rate=0.02)

RECIPES = {
    "two views": small("two_views"),
    "copies in one stream": small(
        "copies",
        streams=(Feed("x", "row", views=VIEWS, copies=2),),
        objective=Contrast(relation="multi_view", temperature=0.2, both_ways=False, y=None),
    ),
    "queue and momentum teacher": small(
        "queue",
        fit=MOMENTUM,
        streams=(X, Feed("y", "row", views=VIEWS, through="momentum")),
        objective=Contrast(temperature=0.2, both_ways=False, keys=Use("queue", {"size": 48})),
    ),
    "support set, cross-batch memory and prototypes": small(
        "memories",
        objective=Contrast(temperature=0.2, both_ways=False, keys=Use("support_set", {"size": 40})),
        also=(
            Also("past", replace(AMONG, relation="labelled", keys=Use("cross_batch_memory", {"size": 64, "start": 2}))),
            Also("classes", replace(AMONG, keys=Use("prototypes", {"count": KINDS, "dimension": 8}))),
        ),
    ),
    "noise keys": small(
        "noise", objective=Contrast(rule="decoupled", temperature=0.2, both_ways=False, keys=Use("noise_negatives"))
    ),
    "predictor and teacher": small(
        "byol",
        fit=MOMENTUM,
        streams=(X, Feed("target", "row", views=VIEWS, through="momentum")),
        objective=with_predictor,
    ),
    "whole objective by name": small("vicreg", fit=BY_SGD, objective=Use("vicreg")),
    "batch norm head": small(
        "global_head",
        fit=BY_SGD,
        objective=Contrast(temperature=0.2, head=Use("batch_norm_projector", {"hidden": 16, "out": 6})),
    ),
    "dropout in a shared head": small(
        "dropout",
        streams=(Feed("x", "row", head="shared"), Feed("y", "row", head="shared")),
        heads=(Named("shared", "projector", {"out": 8}),),
    ),
    "further terms on a ramp": small(
        "terms", also=(Also("uniform", Use("uniformity"), Ramp(0.0, 0.5)), Also("decoded", reconstruction, 0.1))
    ),
    "prefixes": small("matryoshka", objective=Contrast(temperature=0.2, dimensions=(2, 4))),
    "clusters that are refreshed": small(
        "clusters",
        fit=changed(FIT, refresh=(Refresh("find", Use("clusters", {"k": 5}), "label", every=2.0),)),
        objective=Contrast(relation="labelled", temperature=0.2),
    ),
    "batches from within clusters": small(
        "stratified",
        fit=changed(
            FIT,
            batch_size=20,
            refresh=(Refresh("find", Use("clusters", {"k": 3}), "cluster", every=1.0),),
            batching=Batching(groups="cluster", small_groups="join"),
        ),
    ),
    "mined negatives": small(
        "mined",
        fit=changed(FIT, refresh=(Refresh("mine", Use("mined_negatives", {"per_record": 2}), "mined", every=1.0),)),
        streams=(X, Feed("y", "row", more="mined", views=VIEWS)),
    ),
    "averaged and clipped": small(
        "averaged", fit=changed(FIT, average="ema", ema_decay=0.9, clip=0.5, optimiser="sgd", learning_rate=0.1)
    ),
    "stopped early": small("early", fit=changed(FIT, measure=1.0, patience=4, keep="best", average="uniform")),
    "balanced batches": small(
        "balanced",
        fit=changed(FIT, batch_size=24, batching=Batching(balance="label", per_class=4)),
        objective=Contrast(relation="labelled", temperature=0.2),
    ),
    "columns and a transformation of earlier stages": Recipe(
        "left",
        ENCODER,
        Contrast(temperature=0.2),
        (
            changed(FIT, name="first", epochs=1),
            Refresh("find", Use("clusters", {"k": 4}), "label"),
            Transform("whiten", Use("whiten")),
            changed(FIT, name="second", epochs=5, objective=Contrast(relation="labelled", temperature=0.2)),
        ),
        data="records",
        streams=(X, Y),
    ),
    "a frozen teacher in a second stage": Recipe(
        "two_stages",
        ENCODER,
        Contrast(temperature=0.2),
        (
            changed(FIT, name="first", epochs=3),
            changed(FIT, name="second", epochs=3, streams=(X, Feed("y", "row", views=VIEWS, through="frozen"))),
        ),
        data="records",
        streams=(X, Y),
    ),
}


def final_state(name, out, *settings):
    """Train a recipe, on every rank that calls this, and give all that it learned and remembers."""
    from nearfar.training.train import train_run

    kept = {}

    def keep(entry, learner):
        kept.update({k: v.detach().clone() for k, v in whole_state(learner).items()})
        kept["loss"] = torch.tensor(entry["loss"])
        # What the doctor reads is of the whole batch, whoever looks.
        kept.update({n: torch.tensor(entry[n]) for n in ("scored_chance", "effective_rank/x") if n in entry})

    made = train_run(RECIPES[name], table(), out=out, settings=settings, callbacks=[keep])
    return {k: v.numpy() for k, v in kept.items()} | {"steps": np.array(made.fitted.steps)}


def whole_state(learner):
    from nearfar.training.checkpoint import whole

    return {k: whole(v) for k, v in learner.state_dict().items()}
