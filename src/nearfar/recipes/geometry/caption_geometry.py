"""Pictures and captions as CLIP does it, and the shape of what comes out, measured: two shells off the origin, and the gap between them.

For whoever wants to know why their pictures and captions keep apart, and whether to close the gap. After the training stands the
stage `shells`: how far off the origin each cloud is and how thin, how common its records are on average (conformity: the mean cosine to
the others), whether the clouds can be told apart, and how differently they are distributed by conformity (`modality_shells`).
By the paper the gap is no accident: where the training leaves it, the two distributions match best. `gap_sweep` follows any figure
along the way from wider to closed. `sigmoid_captions` and `ranked_captions` train otherwise and measure nothing.

    nearfar train caption_geometry --data photos.csv --columns file,caption
    nearfar train caption_geometry --data photos.csv --set objective.temperature=0.2

Source: Levi and Gilboa 2024 (arXiv 2411.14517), who measure the published CLIP; temperature 0.07 at the start, learned, is CLIP's. Towers,
view, optimiser and batches are those of `sigmoid_captions`, ours. Their exact shift and bins were not seen: here both clouds move along
the difference of their means, at length one, by equal shares (`shift_gap`), into 20 bins, for some hundred records. That a record's conformity
is nearly its cosine to the mean vector holds for any cloud, by algebra; it is measured by `conformity` and no claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nearfar.claims.trial import trained
from nearfar.core.card import Card
from nearfar.core.claim import Arm, Claim
from nearfar.core.recipe import Contrast, Recipe
from nearfar.core.smoke import Smoke
from nearfar.core.stage import Measure
from nearfar.core.use import Use
from nearfar.data.dataset import Dataset
from nearfar.measures.modality_shells import BINS
from nearfar.probes.conformity import conformity_divergence
from nearfar.probes.modality_gap import modality_gap, shift_gap
from nearfar.recipes.objectives.sigmoid_captions import SMALL, with_softmax
from nearfar.recipes.objectives.sigmoid_captions import SMOKE as OF_SMALL

CARD = Card(
    name="caption_geometry",
    summary="pictures and captions as CLIP, with shells, conformity and the gap of the modalities measured",
    related=("modality_shells", "conformity", "ellipsoid", "modality_gap", "sigmoid_captions"),
    data=("images", "texts"),
    papers=("2411.14517",),
    systems=("234",),
)

SMOKE = Smoke(
    "captions",
    {**OF_SMALL.settings, "shells.by": '{"part": "modality_shells", "options": {"first": "image", "second": "text"}}'},
)


def recipe() -> Recipe:
    """Two towers and two-way softmax with a learned temperature, measured afterwards."""
    plain = with_softmax()
    shells = Measure("shells", Use("modality_shells", {"first": "image", "second": "caption"}))
    contrast = Contrast(rule="info_nce", temperature=0.07, learn_temperature=True, both_ways=True)
    return replace(plain, name="caption_geometry", objective=contrast, stages=(*plain.stages, shells))


def trial(recipe: Recipe, dataset: Dataset, seed: int, split: str, options: Mapping[str, Any]) -> dict[str, float]:
    """How differently pictures and captions are distributed by conformity once the gap is moved, and the gap itself as trained."""
    model, part = trained(replace(recipe, stages=recipe.fits), dataset, seed), dataset.part(split)
    x, y = (model.encode(part.many(side, range(len(part))), side=side) for side in ("image", "placed_caption"))
    figures = conformity_divergence(*shift_gap(x, y, options["shift"]), bins=BINS).figures()
    return figures | {"gap": modality_gap(x, y).figure("gap")}


CLAIM = Claim(
    "where training leaves the gap, pictures and captions are distributed more alike by conformity than with half of it closed or half more",
    expect="trained < closer, trained < wider",
    arms={
        "trained": Arm(options={"shift": 0.0}),
        "closer": Arm(options={"shift": 0.5}),
        "wider": Arm(options={"shift": -0.5}),
    },
    data="tuxpaint_stamps",
    trial=trial,
    metric="divergence",
    margin=0.05,
    both={**SMALL, "fit.batch_size": 64, "fit.epochs": 15, "fit.learning_rate": 1e-2},
    source="the abstract: the gap optimises how the distributions of conformity match; by a third party's note the divergence of CLIP on COCO "
    "is least, about 0.14, without a shift",
    scale="two small towers learned from 500 captioned stamps in place of CLIP, divergence in 20 bins of 185 records each, which moves by "
    "some hundredths by chance",
    reading="half of the paper's picture holds: a wider gap parts the distributions more. But closing half of it "
    "brings them nearer still, so that the trained place is no optimum for two small towers of 500 stamps",
)
