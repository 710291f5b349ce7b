"""The small residual network: the sizes of networks; the rest is in test_contract.py and test_image_encoders.py."""

import pytest
import torch

import nearfar as nf
from encoders.cases import IMAGES
from nearfar.core.errors import UsageError


def fitted(**settings):
    return nf.Convolutional.fit({"x": IMAGES}, **{"width": 8, "stages": 2, "size": 16, **settings})


def test_shapes_of_networks():
    eighteen = fitted(width=64, depth=2, stages=4, size=224)
    count = sum(p.numel() for p in eighteen.parameters())
    assert eighteen.dimension == 512
    assert abs(count - 11.2e6) < 0.1e6  # ResNet-18 without its classifier
    with torch.no_grad():
        features = eighteen.blocks(eighteen.stem(torch.zeros(1, 3, 224, 224)))
    assert features.shape == (1, 512, 7, 7)
    assert fitted(dimension=5).dimension == 5
    narrow = fitted(width=3)  # not a multiple of the channels of a group
    assert narrow(narrow.prepare(IMAGES)).vectors.isfinite().all()
    with torch.no_grad():
        assert fitted()(narrow.prepare(IMAGES)[..., :9, :13]).vectors.shape == (10, 16)


def test_settings_that_make_no_sense():
    for wrong in ({"width": 0}, {"stages": 9}, {"dimension": -1}):
        with pytest.raises(UsageError) as caught:
            fitted(**wrong)
        assert caught.value.where == f"encoder.{next(iter(wrong))}"
