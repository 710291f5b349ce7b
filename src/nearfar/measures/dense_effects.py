"""What dense contrast did to a model's places: alignment with the picture moved by one place, and uniformity of places.

A picture that is moved by one place's width has every place one further: which place answers to which is known, without any matching. Places
that are moved in from outside are left out. The probe is `dense_alignment_uniformity`; `temperature_effects` has one vector a record.
The encoder gives rows of places for the side "places" (`place_network`), whether or not it was trained on them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nearfar.core.card import Card
from nearfar.core.encoding import node_matrices
from nearfar.core.errors import UsageError
from nearfar.core.images import images
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.probes.dense_alignment_uniformity import dense_alignment_uniformity
from nearfar.probes.outcome import Outcome

CARD = Card(
    name="dense_effects",
    summary="alignment and uniformity of the places of pictures, matched by moving the picture",
    related=("dense_alignment_uniformity", "place_network", "temperature_effects"),
)

AT_ONCE = 256  # pictures


def dense_effects(model: Model, dataset: Dataset, split: str, *, field: str = "image", most: int = 300) -> Outcome:
    """Of the first `most` pictures of the part. Raises UsageError for a model that has no places, or too few to move a picture."""
    part = dataset.part(split)
    tower = model.tower(next(iter(model.sides)))
    pictures = images(part.many(field, range(min(most, len(part)))), tower.setup.size, channels=tower.setup.channels)
    still = maps(tower, pictures)
    side, width = still.shape[1], pictures.shape[3] // still.shape[2]
    if side < 2 or still.shape[2] < 2:
        raise UsageError(
            f"maps of {side} x {still.shape[2]} places",
            where="dense_effects",
            remedy="take fewer stages, or larger pictures",
        )
    moved = maps(tower, torch.roll(pictures, width, 3))
    x, y = still[:, :, :-1], moved[:, :, 1:]
    return dense_alignment_uniformity(x.reshape(len(x), -1, x.shape[-1]), y.reshape(len(y), -1, y.shape[-1]))


@torch.inference_mode()
def maps(tower: Any, pictures: Any) -> np.ndarray:
    """Vectors [n h w d] of the places of n pictures. Raises UsageError for an encoder that has none."""
    training = tower.training
    tower.eval()
    try:
        made = np.stack(node_matrices(tower, list(pictures), "places", lambda v: v, AT_ONCE))
        shape = tower.features(tower.prepare(list(pictures[:1]))).shape[2:]
    finally:
        tower.train(training)
    return made.reshape(len(made), *shape, -1)
