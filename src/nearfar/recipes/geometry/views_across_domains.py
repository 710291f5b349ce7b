"""Pictures of two domains, labelled in one: looks at pictures of both make vectors in which its classifier holds in the other (UDA).

For photographs with labels and sketches without, or two hospitals' pictures. `image_views` is trained on the unlabelled pictures of both together;
afterwards a classifier is fitted to the vectors of the labelled ones, and used on all. Methods for the same aim make domains
indistinguishable (`domain_adversary` here, a rival of the claim); this one does not, and need not: what a look at a picture
shares with one of another domain, or of another class, connects them, and vectors that vary with the domain in one direction and with the
class in another are as good. `connectivity` measures that, of vectors or of augmented pictures; `linear_probe` with the domain
as its label tells how far the domains can be told apart.

    nearfar train views_across_domains --data photos_and_sketches/

Source: Shen et al. 2022 (arXiv 2204.00570), whose encoder is trained by SwAV and then, labels given, as a whole; their theory has the
spectral contrastive loss and a linear classifier on frozen vectors. Here it is the softmax of `image_views`, whose defaults these are, and
the linear classifier. The paper's theorem and tables were not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nearfar.claims.trial import trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.outputs import Outputs
from nearfar.core.ramp import Ramp
from nearfar.core.recipe import Also, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.measures.shared import encoded
from nearfar.objectives.composed import Local
from nearfar.probes.connectivity import connectivity
from nearfar.probes.linear_probe import linear_probe
from nearfar.probes.shared.linear_classifier import predictions
from nearfar.recipes.image.image_views import recipe as image_views

CARD = Card(
    name="views_across_domains",
    summary="images of two domains, labels in one: looks at both make vectors whose classifier holds in the other (UDA)",
    related=("image_views", "connectivity", "linear_probe", "column_cross_entropy"),
    data=("images",),
    papers=("2204.00570",),
    systems=("124",),
)

SMOKE = Smoke(
    "images", {"encoder.size": 16, "encoder.width": 8, "encoder.stages": 2, "fit.batch_size": 16, "fit.epochs": 2}
)


def recipe() -> Recipe:
    """`image_views`, on whatever domains the pictures are of."""
    return replace(image_views(), name="views_across_domains")


def source_alone() -> Recipe:
    """A classifier of the labelled pictures, through the same looks; those without a label have no loss."""
    ours = recipe()
    streams = tuple(replace(stream, head="") for stream in ours.streams)
    objective = Use("column_cross_entropy", {"classes": 10})
    return replace(
        ours,
        name="views_across_domains_source_alone",
        objective=objective,
        streams=streams,
        heads=(),
        columns=("label", "domain"),
    )


def adversarial() -> Recipe:
    """The same, and an adversary who must not tell the domains by the vectors (DANN), stronger from step to step."""
    classifier = source_alone()
    return replace(
        classifier,
        name="views_across_domains_adversarial",
        also=(Also("adversary", domain_adversary, weight=Ramp(0.0, 1.0, to_share=0.5)),),
    )


class DomainAdversary(nn.Module):
    """Learns to tell two domains by the vectors, which learn that it cannot."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Sum of its cross-entropies, and of how many rows."""
        domain = outputs.rows.columns["domain"].to(outputs.features.dtype)
        features = outputs.features
        turned = 2 * features.detach() - features  # the same numbers, and the gradient turned round
        scores = self.layers(turned)[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(scores, domain, reduction="sum")
        return loss, torch.tensor(len(domain), device=loss.device)


def domain_adversary(towers: Mapping[str, Any]) -> Local:
    """The term, for the encoder's vectors."""
    return Local(DomainAdversary(towers["encoder"].dimension), "x")


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, _: Mapping[str, Any]) -> dict[str, float]:
    """One linear classifier of frozen vectors of labelled training pictures, asked about the target; on the dev part, which chooses, about
    the source, for the target has no labels to choose by. `domain` is how well a linear classifier tells the domains.
    """
    model, part, train = trained(recipe, dataset, seed), dataset.part(split), dataset.train
    known, asked = encoded(model, train), encoded(model, part)
    mine, theirs = train.columns, part.columns
    source, chosen = mine["domain"] == 0, theirs["domain"] == (0 if split == "dev" else 1)
    classifier = (known[source], mine["label"][source])
    accuracy = linear_probe(asked[chosen], theirs["truth"][chosen], train=classifier).figure("accuracy")
    told = predictions(torch.from_numpy(known), mine["domain"], torch.from_numpy(asked))
    domain = float((told == theirs["domain"]).mean())
    cells = connectivity(known, mine["truth"], mine["domain"], asked, theirs["truth"], theirs["domain"], pairs=5)
    return {"accuracy": accuracy, "domain": domain} | cells.figures()


CLAIM = Claim(
    "contrast on both domains carries a classifier from one to the other better than the labelled domain alone does and no worse than an "
    "adversary of domains, although the domains stay easier to tell",
    expect="contrast > source, contrast > adversarial, domain: contrast > adversarial",
    arms={
        "contrast": Arm(settings={"objective.temperature": 0.2}),
        "source": Arm(source_alone),
        "adversarial": Arm(adversarial),
    },
    data="digits_of_two_hands",
    trial=trial,
    metric="accuracy",
    margin=0.01,
    both={
        "encoder.size": 8,
        "encoder.channels": 1,
        "encoder.width": 16,
        "fit.batch_size": 64,
        "fit.epochs": 10,
        "x.views": '[{"part": "random_resized_crop", "options": {"area": [0.4, 1.0]}}, {"part": "colour_jitter", "options": {"strength": 0.5}}]',
    },
    tune={"fit.learning_rate": (1e-3, 3e-3)},
    source="the abstract: competitive with strong methods of domain adaptation, without features that are invariant to the domain (the tables "
    "were not seen)",
    scale="a network of 77,000 weights, 500 small digits of MNIST with labels and 500 digits of another source without; "
    "a linear classifier on frozen vectors for all arms, where the paper trains the whole network",
    reading="the opposite of the paper: contrast on both domains without labels, then a classifier on one, carries "
    "over far worse than training with the labels of the one domain, and than the adversary. The domains do "
    "stay easier to tell, as the paper says. Its encoders are larger and its pictures in colour",
)
