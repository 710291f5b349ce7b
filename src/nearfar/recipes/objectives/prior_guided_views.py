"""Looks at a picture whose mean is smoothed over pictures that prior features say are alike (decoupled uniformity with a kernel).

For pictures of which something is known beforehand that is no label: codes of a generative model, vectors of another network, weak
attributes. Strong views bring pictures of one kind together because their looks overlap; where one does not know which views are harmless
(scans, drawings), the prior takes their place and the views may stay weak. The mean of two looks is estimated from the means of the
whole batch, more from the pictures near by in the prior, and all means spread over the sphere; only looks that agree have a mean that
can be far from others, so that no term pulls them together. `image_views` knows of no prior; `kernel_uniformity` is the term alone, and
`decoupled_uniformity` is it without the prior.

    nf.train("prior_guided_views", nf.array_records(image=pictures, prior=codes, columns=["prior"]))
    nf.train("prior_guided_views", records, settings=("objective.sigma=20", "objective.regularisation=0.01"))

The prior is a column of numbers [n e], one row a picture, on a scale of its own: the kernel takes the median distance of a batch for its
width, unless `objective.sigma` says another.

Source: Dufumier et al. 2022 (arXiv 2206.01646), with the authors' code as a brief of it tells: t = 2, lambda 0.01, two looks with all
views of SimCLR, batches of 256 for 400 passes of SGD at 0.3. Their projector is 2,048 and 256 wide; the projector, AdamW at 0.001 and
the other settings are those of `image_views`. Their sigma is set for every data set (10 to 100); the median is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from nearfar.claims.trial import measured, trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Recipe
from nearfar.core.seeding import seeded
from nearfar.core.smoke import Smoke
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.data.records import Records
from nearfar.probes.linear_probe import linear_probe
from nearfar.recipes.image.image_views import recipe as image_views

CARD = Card(
    name="prior_guided_views",
    summary="images with prior features: means of looks smoothed by a kernel on the prior (kernel decoupled uniformity)",
    related=("kernel_uniformity", "decoupled_uniformity", "image_views"),
    data=("images",),
    papers=("2206.01646",),
    systems=("163",),
)

SMOKE = Smoke(
    "images",
    {
        "encoder.size": 16,
        "encoder.width": 8,
        "encoder.stages": 2,
        "fit.batch_size": 16,
        "fit.epochs": 2,
        "objective.column": "label",
    },
)


def recipe() -> Recipe:
    """`image_views` with another objective, and a column of prior features."""
    objective = Use("kernel_uniformity", {"column": "prior", "regularisation": 0.01, "t": 2.0})
    return replace(image_views(), name="prior_guided_views", objective=objective, columns=("prior",))


def without_prior() -> Recipe:
    """Uniformity of the means as they are."""
    objective = Use("decoupled_uniformity", {"t": 2.0})
    return replace(recipe(), name="prior_guided_views_without_prior", objective=objective, columns=())


class Autoencoder(nn.Module):
    """The claim's generative prior: a small variational autoencoder of pictures as rows of numbers from 0 to 1."""

    def __init__(self, pixels: int, hidden: int = 128, code: int = 16) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * code))
        self.decode = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, pixels))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Minus the evidence bound of rows [n pixels], a mean over them."""
        mean, log_variance = self.encode(rows).chunk(2, 1)
        drawn = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        rebuilt = F.binary_cross_entropy_with_logits(self.decode(drawn), rows, reduction="none").sum(1)
        return (rebuilt + (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2).mean()


@lru_cache(maxsize=2)
def codes(dataset: Dataset) -> Mapping[str, np.ndarray]:
    """Mean codes [n 16] of the pictures of every part, by an autoencoder of the training part; made once a process."""
    rows = {name: _flat(part) for name, part in dataset.parts.items()}
    with seeded(0):
        model = Autoencoder(rows["train"].shape[1])
        optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
        for _ in range(40):
            for batch in rows["train"][torch.randperm(len(rows["train"]))].split(100):
                optimiser.zero_grad()
                model(batch).backward()
                optimiser.step()
    with torch.no_grad():
        return {name: model.encode(part).chunk(2, 1)[0].numpy() for name, part in rows.items()}


def _flat(records: Records) -> torch.Tensor:
    """One of each four pixels, which are equal in this data set."""
    pictures = np.stack(records.many("image", range(len(records))))[:, ::2, ::2]
    return torch.from_numpy(pictures.reshape(len(pictures), -1) / 255).float()


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, given: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy of a linear classifier, and that of the codes by themselves, which describes and decides nothing.

    The option `t` is the sharpness of the potential. InfoNCE of cosines at temperature 1 / (2 t) weighs distances alike.
    """
    objective = recipe.objective
    if isinstance(objective, Contrast):
        objective = replace(objective, temperature=1 / (2 * given["t"]))
    else:
        assert isinstance(objective, Use)
        objective = replace(objective, options={**objective.options, "t": given["t"]})
    prior = codes(dataset)
    with_prior = replace(dataset, parts={**dataset.parts, "train": dataset.train.with_columns(prior=prior["train"])})
    model = trained(replace(recipe, objective=objective), with_prior, seed)
    accuracy = measured(Use("linear_accuracy"), model, dataset, split).figure("accuracy")
    return {"accuracy": accuracy, "accuracy_of_prior": accuracy_of_prior(dataset, split)}


@lru_cache(maxsize=4)
def accuracy_of_prior(dataset: Dataset, split: str) -> float:
    """Of a linear classifier on the codes."""
    prior, label = codes(dataset), {name: part.columns["label"] for name, part in dataset.parts.items()}
    return linear_probe(prior[split], label[split], train=(prior["train"], label["train"])).figure("accuracy")


CLAIM = Claim(
    "with weak views, decoupled uniformity smoothed by codes of an autoencoder gives better features than without, and than SimCLR",
    expect="kernel > uniformity, kernel > simclr",
    arms={
        "kernel": Arm(),
        "uniformity": Arm(without_prior),
        "simclr": Arm("image_views"),
    },
    data="digits",
    trial=trial,
    metric="accuracy",
    margin=0.005,
    both={
        "encoder.size": 8,
        "encoder.channels": 1,
        "encoder.width": 16,
        "fit.batch_size": 64,
        "fit.epochs": 6,
        "x.views": '[{"part": "random_resized_crop", "options": {"area": [0.6, 1.0]}}]',
    },
    tune={"t": (2.0, 5.0), "fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: generative models as a prior improve contrastive learning of natural and medical pictures; the tables were not seen",
    scale="a network of 77,000 weights, a thousand digits of 8 x 8 pixels, windows of 0.6 to 1 of the picture for views, codes of a "
    "perceptron with 16 latent numbers, six passes in batches of 64",
    reading="the codes help by about a point against the same loss without them, nearly all of the interval above the "
    "margin; against SimCLR zero is inside. Six passes of weak views leave little to gain: all three are near "
    "95 in a hundred",
)
