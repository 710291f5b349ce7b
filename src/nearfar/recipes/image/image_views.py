"""Images without labels: two random looks at an image belong together, those of other images do not (SimCLR), on a small network.

For a folder of pictures and no captions. What is learned is what the views leave alone: by default place, size, mirroring, colour
and sharpness are forgotten, so leave out a view whose change means something (`horizontal_flip` for digits and text,
`colour_jitter` for ripe and unripe). The projector is for training alone: the model gives out what lies before it.
docs/images.md goes through all of it.

    nearfar train image_views --data photos/
    nearfar train image_views --data photos/ --set encoder.size=96 --set "x.gaussian_blur.sigma=[0.1, 0.9]"
    nearfar train image_views --data digits/ --set 'x.views=["random_resized_crop"]'

Source: Chen et al. 2020 (SimCLR, arXiv 2002.05709): the views and their order, all 2 N - 1 other rows as candidates of each of 2 N,
a projector with one hidden layer, cosine after a warm-up over a tenth of a hundred passes; temperature 0.5 and colours at half
strength as for their images of 32 pixels (appendix B.9), on which they use no blur. Here it is 2 pixels of 224 in
proportion, next to nothing at 32: it is there for larger images, and its sigma is to be set with `encoder.size`. Their LARS is made
for batches of thousands; AdamW at 0.001 in batches of 256 needs no tuning of that kind, and is ours, as is the small network with
group norm in place of ResNet-50.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.core.recipe import Contrast, Feed, Named, Recipe, Use
from nearfar.core.stage import Fit

CARD = Card(
    name="image_views",
    summary="images without labels: two looks at an image find each other among all others (SimCLR)",
    related=("multi_view", "convolutional", "projector"),
    data=("images",),
    papers=("2002.05709",),
)

VIEWS = (
    Use("random_resized_crop"),
    Use("horizontal_flip"),
    Use("colour_jitter", {"strength": 0.5}),
    Use("greyscale"),
    Use("gaussian_blur", {"sigma": (0.1, 0.3)}),
)


def recipe() -> Recipe:
    """One stream with two copies of every image, each with views of its own."""
    return Recipe(
        name="image_views",
        encoder=Use("convolutional"),
        objective=Contrast(rule="info_nce", relation="multi_view", temperature=0.5, both_ways=False, y=None),
        stages=(Fit(batch_size=256, epochs=100, learning_rate=1e-3, warmup=0.1, weight_decay=0.01),),
        data="images",
        streams=(Feed("x", "image", views=VIEWS, copies=2, head="projector"),),
        heads=(Named("projector", "projector"),),
    )
