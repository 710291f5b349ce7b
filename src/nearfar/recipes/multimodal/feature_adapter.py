"""A small adapter on frozen vectors of pictures, fitted to few labelled shots against the texts of the classes (CLIP-Adapter).

Near are a picture and the text of its class, far the texts of all other classes: softmax classification whose weights are texts. The two
encoders that made the vectors stay as they are and are not needed here; what is learned is added to the vectors by a stated share, so that
with few shots the answer of the frozen model still stands. Share 0 is that answer, exactly. The classes are those of the batch, so
let one batch hold all shots, as it does up to 4,096 of them. `linear_probe` has the same shots and no texts; `class_means` says how
the texts become classes.

    vectors, texts = model.encode(pictures, side="image"), model.encode([f"a photo of a {name}" for name in names], side="text")
    nf.train("feature_adapter", data={"image": vectors, "text": texts, "label": numbers_of_classes})
    nearfar train feature_adapter --data shots.jsonl --columns image,text --set encoder.ratio=0.6

A text is the vector of the record's own class, a label its name or number; a line of the file is {"image": [...], "text": [...], "label": "cat"}. `--set text.ratio=0.2` adapts the texts too, as the paper's second adapter does.

Source: Gao et al. 2021 (arXiv 2110.04544) and the authors' code as a brief of it tells: reduction 4, share 0.2, adapter on pictures only,
CLIP's own temperature of 0.01, which stays (give that of your model: `--set objective.temperature=0.05`). One ReLU as in the formula; their
code has a second one. Their shares for each data set, learning rate (1e-5, of half-precision weights) and batches of 32 are from memory; AdamW at
0.001 and 200 steps with all shots are ours. In the claim `context` stands for learned context vectors (CoOp, arXiv 2109.01134): the text encoder there sums
vectors of words, so that learned words in front of the name are one learned vector added to every class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from nearfar.claims.trial import trained, trained_run
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.draws import uniform
from nearfar.core.model import Model
from nearfar.core.recipe import Contrast, Feed, Named, Recipe
from nearfar.core.rows import Rows
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset
from nearfar.keys.class_means import class_means
from nearfar.objectives.info_nce import info_nce
from nearfar.objectives.scored import Scored
from nearfar.probes.linear_probe import linear_probe
from nearfar.relations.paired import paired

CARD = Card(
    name="feature_adapter",
    summary="a small adapter on frozen vectors, few shots against class texts (CLIP-Adapter)",
    related=("residual_adapter", "class_means", "linear_probe", "zero_shot"),
    data=("records",),
    papers=("2110.04544", "2109.01134"),
    systems=("219",),
)

SMOKE = Smoke("class_vectors", {"fit.epochs": 5, "encoder.reduction": 2})

OWN = 0.1  # the temperature of the claim's towers, which stays as CLIP's does


def recipe() -> Recipe:
    """Vectors of pictures through an adapter, those of class texts as they are; all shots in one batch."""
    return Recipe(
        name="feature_adapter",
        encoder=Use("residual_adapter", {"ratio": 0.2}),
        objective=Contrast(
            rule="info_nce",
            relation=Use("paired", {"column": "label"}),
            temperature=0.01,
            both_ways=False,
            keys="class_means",
        ),
        stages=(Fit(batch_size=4096, epochs=200, learning_rate=1e-3),),
        held_out=0.0,
        data="records",
        streams=(Feed("x", "image"), Feed("y", "text", tower="text")),
        towers=(Named("text", "residual_adapter", {"ratio": 0.0}),),
        columns=("label",),
    )


class Context(nn.Module):
    """The rival's keys: one learned vector added to the text of every class."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(dimension))

    def forward(self, queries: Rows, keys: Rows) -> Rows:
        """As `class_means`, of texts with their context."""
        return class_means()(queries, keys.with_vectors(keys.vectors + self.vector))


def learned_context(dimension: int) -> Scored:
    """The recipe's objective with a context that is learned; nothing else is, where the adapter's share is 0."""
    return Scored(info_nce, paired("label"), temperature=OWN, keys=Context(dimension), queries_from="x", keys_from="y")


def with_context() -> Recipe:
    """Learned context in place of the adapter."""
    ours = recipe()
    unmoved = Use("residual_adapter", {"ratio": 0.0})
    return replace(ours, name="feature_adapter_with_context", encoder=unmoved, objective=learned_context)


def two_towers() -> Recipe:
    """The claim's small stand-in for CLIP: a network for pictures, a sum of words for texts."""
    return Recipe(
        name="two_towers",
        encoder=Use("convolutional", {"size": 8, "channels": 1, "width": 16, "dimension": 64}),
        towers=(Named("text", "static", {"dimension": 64, "min_count": 1, "buckets": 64}),),
        objective=Contrast(relation=Use("paired", {"column": "text"}), temperature=OWN),
        stages=(Fit(batch_size=64, epochs=8, learning_rate=3e-3),),
        data="records",
        streams=(Feed("x", "image"), Feed("y", "text", tower="text")),
    )


WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
KNOWN, SHOTS = 600, 2  # pictures that the towers learn from, as they are; shots of a class, drawn from the others
DEGREES = 30.0


@dataclass(frozen=True, eq=False)
class Frozen:
    """Vectors of a frozen model: of shots to draw from, of the parts that are measured, and of the ten class texts [10 d]."""

    pictures: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    texts: np.ndarray


@lru_cache(maxsize=2)
def frozen(dataset: Dataset) -> Frozen:
    """The two towers, trained once a process on upright digits, and the vectors of all others, turned."""
    train, label = dataset.train, dataset.train.columns["label"]
    upright = _small(train.many("image", range(KNOWN)))
    texts = [f"the digit {word}" for word in WORDS]
    known = array_records(image=upright, text=[texts[i] for i in label[:KNOWN]])
    towers = trained(two_towers(), Dataset("upright", {"train": known}), seed=0)
    towers.similarity = "dot"  # sums of words as they are: context is a summand
    pictures = {"shots": _shifted(towers, train.many("image", range(KNOWN, len(train))))}
    labels = {"shots": label[KNOWN:]}
    for name in ("dev", "test"):
        part = dataset.part(name)
        pictures[name] = _shifted(towers, part.many("image", range(len(part))))
        labels[name] = part.columns["label"]
    return Frozen(pictures, labels, towers.encode(texts, side="text"))


def _small(images: Any) -> np.ndarray:
    return np.stack(images)[:, ::2, ::2]


def _shifted(towers: Model, images: Any) -> np.ndarray:
    """Vectors of pictures that are turned."""
    upright = torch.from_numpy(_small(images)).float()[:, None]
    angle = torch.tensor(DEGREES).deg2rad()
    turn = torch.stack([angle.cos(), -angle.sin(), angle * 0, angle.sin(), angle.cos(), angle * 0]).reshape(1, 2, 3)
    grid = F.affine_grid(turn.expand(len(upright), 2, 3), list(upright.shape), align_corners=False)
    turned = F.grid_sample(upright, grid, align_corners=False)[:, 0]
    return towers.encode(list(turned.round().clamp(0, 255).to(torch.uint8).numpy()), side="image")


# Six settings for each arm: share and learning rate; learning rate; strength of the penalty. Zero-shot has none.
SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "adapter": tuple((ratio, rate) for ratio in (0.2, 0.6) for rate in (1e-3, 3e-3, 1e-2)),
    "context": (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3),
    "linear": (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5),
}


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, options: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy on a part after two shots of each class, which the seed draws."""
    found, method = frozen(dataset), options["method"]
    pictures, label = found.pictures[split], found.labels[split]
    drawn = _shots(found.labels["shots"], seed)
    shots, answers = found.pictures["shots"][drawn], found.labels["shots"][drawn]
    setting: Any = SETTINGS[method][options["setting"]] if method in SETTINGS else None
    if method == "linear":
        probe = linear_probe(pictures, label, train=(shots, answers), strengths=(setting,))
        return {"accuracy": probe.figure("accuracy")}
    texts = torch.from_numpy(found.texts)
    if method != "zero_shot":
        ratio, rate = setting if method == "adapter" else (0.0, setting)
        recipe = replace(
            recipe,
            encoder=Use("residual_adapter", {"ratio": ratio}),
            stages=(replace(recipe.fits[0], learning_rate=rate),),
        )
        data = array_records(image=shots, text=found.texts[answers], label=answers)
        made = trained_run(recipe, Dataset("shots", {"train": data}), seed)
        pictures = made.model.encode(list(pictures), side="image")
        if method == "context":
            context: Any = made.prepared.learner.objective.terms[""]
            texts = texts + context.keys.vector.detach()
    chosen = (torch.from_numpy(pictures) @ F.normalize(texts, dim=1).T).argmax(1).numpy()
    return {"accuracy": float((chosen == label).mean())}


def _shots(label: np.ndarray, seed: int) -> np.ndarray:
    order = uniform(seed, "feature_adapter, shots", torch.arange(len(label))).argsort(stable=True).numpy()
    return np.concatenate([order[label[order] == number][:SHOTS] for number in range(len(WORDS))])


CLAIM = Claim(
    "with two shots of each class under a shift, an adapter is better than the frozen model, than a linear probe and than learned context",
    expect="adapter > zero_shot, adapter > linear, adapter > context",
    arms={
        "adapter": Arm(settings={"objective.temperature": OWN}, options={"method": "adapter"}),
        "zero_shot": Arm(options={"method": "zero_shot"}),
        "linear": Arm(options={"method": "linear"}),
        "context": Arm(with_context, options={"method": "context"}),
    },
    data="digits",
    trial=trial,
    metric="accuracy",
    margin=0.01,
    tune={"setting": (0, 1, 2, 3, 4, 5)},
    source="the abstract: better than context optimisation, with a simple design, over various classification tasks; the figures (eleven data sets, 1 to 16 shots) are curves that were not seen",
    scale="two towers of our own, trained on 600 upright digits and the words of their classes, in place of CLIP; shots, dev and test "
    "are digits of 8 x 8 pixels turned by 30 degrees, two shots; a vector added to sums of words for context",
    reading="better than the frozen model and than a learned context, as claimed; no better than a linear probe. The two "
    "towers that stand in for CLIP know little beyond ten upright digits, so the texts give few shots less to lean "
    "on than there",
)
