"""Pictures and captions by yes or no: each pair of the batch is asked by itself whether it belongs together (SigLIP).

For pictures with captions of your own, from a few hundred on. A picture and its caption, each through a tower of its own, should be
near, a picture and the caption of another one far; the sigmoid of their scaled cosine, less a learned bias, is the answer. No sum over
the batch stands in the loss, so no pair's gradient depends on who else is in the batch: softmax, as in CLIP, asks instead which of
the batch's captions belongs, and needs many of them to ask well. The bias says how rare a match is. It begins where a batch of this
size has it, at minus the logarithm of the number of strangers: set it with the batch, or the first hundreds of steps move little else.

    nearfar train sigmoid_captions --data photos.csv --columns file,caption
    nearfar train sigmoid_captions --data photos.csv --set fit.batch_size=64 --set objective.bias=-4.1

Two pictures with one caption count as strangers to each other's, as in the paper.

Source: Zhai et al. 2023 (arXiv 2303.15343), and the authors' code as a brief of it tells: the loss, summed over captions and averaged over
pictures; temperature 0.1 and bias at the start, both learned without decay; decay of 0.01, clipping at 1 and 0.001 in batches of 512 from
their example. Their bias of -10 is that of 32,768 captions; -6.2 is that of 512 (the example has -2.7). Towers that begin from nothing,
one crop for a view and 30 passes are ours, for a thousand pictures.
"""

from __future__ import annotations

from dataclasses import replace

from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Feed, Named, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Fit
from nearfar.core.use import Use

CARD = Card(
    name="sigmoid_captions",
    summary="pictures and captions, each pair by itself near or far, no softmax over the batch (SigLIP)",
    related=("sigmoid", "info_nce", "image_views", "two_way_retrieval"),
    data=("images", "texts"),
    papers=("2303.15343",),
    systems=("223",),
)

SMOKE = Smoke(
    "captions",
    {
        "encoder.size": 8,
        "encoder.width": 8,
        "encoder.stages": 2,
        "encoder.dimension": 16,
        "text.dimension": 16,
        "y.field": "text",
        "fit.batch_size": 16,
        "fit.epochs": 2,
    },
)


def recipe() -> Recipe:
    """A convolutional tower for pictures, a sum of words for captions; one direction is the whole loss."""
    return Recipe(
        name="sigmoid_captions",
        encoder=Use("convolutional", {"dimension": 128}),
        towers=(Named("text", "static", {"dimension": 128, "min_count": 1}),),
        objective=Contrast(
            rule="sigmoid",
            temperature=0.1,
            learn_temperature=True,
            bias=-6.2,
            learn_bias=True,
            both_ways=False,
        ),
        stages=(Fit(batch_size=512, epochs=30, learning_rate=1e-3, warmup=0.1, weight_decay=0.01, clip=1.0),),
        data="images",
        streams=(
            Feed("x", "image", views=(Use("random_resized_crop", {"area": (0.5, 1.0)}),)),
            Feed("y", "caption", tower="text"),
        ),
    )


def with_softmax() -> Recipe:
    """Which caption of the batch, and which picture: two-way InfoNCE with a learned temperature, as in CLIP."""
    contrast = Contrast(rule="info_nce", temperature=0.1, learn_temperature=True, both_ways=True)
    return replace(recipe(), name="sigmoid_captions_with_softmax", objective=contrast)


# Towers and views of a size for a few hundred small pictures; also for other claims about captions.
SMALL = {
    "encoder.size": 16,
    "encoder.width": 8,
    "encoder.dimension": 64,
    "text.dimension": 64,
    "text.buckets": 64,
    "y.field": "placed_caption",
}

CLAIM = Claim(
    "in batches of 16, a sigmoid of each pair makes pictures and captions find each other better than softmax over the batch",
    expect="sigmoid > softmax",
    arms={"sigmoid": Arm(settings={"objective.bias": -2.7}), "softmax": Arm(with_softmax)},
    data="tuxpaint_stamps",
    measure=Use("two_way_retrieval", {"first": "image", "second": "placed_caption"}),
    metric="mrr",
    margin=0.01,
    both={**SMALL, "fit.batch_size": 16, "fit.epochs": 10},
    tune={"fit.learning_rate": (3e-3, 1e-2, 3e-2)},
    source="the abstract: it also does better at smaller batch sizes, and a batch of 32,768 is enough; the curves over batch sizes were not seen",
    scale="500 captioned stamps of 16 x 16 pixels, a network of some 20,000 weights and a table of words, ten passes, both towers learned; "
    "reciprocal rank of 185 candidates, both ways, for zero-shot accuracy on ImageNet",
    reading="the softmax is better in batches of 16 too, by two hundredths of a mean reciprocal rank of a tenth. Ten "
    "passes from scratch over 500 pictures are far from the paper's scale, and temperature and bias have some "
    "300 steps to find their places in",
)
