"""Effects on places: a network that moves with its picture is aligned; loops stand in the reference of `matched_places`."""

import numpy as np
import pytest
import torch

from nearfar.core.errors import UsageError
from nearfar.core.model import Model
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset
from nearfar.encoders.convolutional import Convolutional
from nearfar.encoders.place_network import PlaceNetwork
from nearfar.measures.dense_effects import dense_effects, maps

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 16, 16)).astype(np.uint8)
TINY = {"width": 8, "stages": 2, "size": 16, "channels": 1}


def measured(tower):
    return dense_effects(Model({"image": tower}), Dataset("d", {"dev": array_records(image=PICTURES)}), "dev").figures()


def test_what_moves_with_the_picture_is_aligned():
    tower = PlaceNetwork.fit({"image": list(PICTURES)}, **TINY).eval()
    found = measured(tower)
    assert 0 < found["alignment"] < 1
    assert found["uniformity_within"] < -0.01

    class Fixed(PlaceNetwork):
        """A network whose places have a code of their own: known bad."""

        def features(self, inputs):
            made = super().features(inputs)
            return made + 20 * torch.randn(made.shape[1:], generator=torch.Generator().manual_seed(0))

    fixed = Fixed(tower.setup, tower.scale).eval()
    fixed.load_state_dict(tower.state_dict())
    assert measured(fixed)["alignment"] > found["alignment"] + 0.5


def test_maps_are_the_rows_of_places_in_their_order():
    tower = PlaceNetwork.fit({"image": list(PICTURES)}, **TINY).eval()
    pictures = tower.prepare(list(PICTURES))
    made = maps(tower, pictures)
    assert made.shape == (6, 8, 8, 16)
    with torch.no_grad():
        table = tower(pictures[2:3], "places")
        whole = tower(pictures).vectors
    assert np.allclose(made[2].reshape(64, 16), table.vectors.numpy(), atol=1e-5)
    assert torch.allclose(torch.from_numpy(made).mean((1, 2)), whole, atol=1e-5)
    assert table.columns["place"][0].tolist() == [0.0625, 0.0625]
    assert table.columns["place"][9].tolist() == [0.1875, 0.1875]


def test_a_model_without_places_is_refused():
    with pytest.raises(UsageError, match="one vector a record"):
        measured(Convolutional.fit({"image": list(PICTURES)}, **TINY))
    with pytest.raises(UsageError, match="maps of 1 x 1"):
        measured(PlaceNetwork.fit({"image": list(PICTURES)}, **TINY | {"stages": 5}))
