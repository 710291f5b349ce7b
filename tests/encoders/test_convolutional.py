"""The small residual network: the sizes of networks; the rest is in test_contract.py and test_image_encoders.py."""

import subprocess
import sys

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


NARROW = """
import sys
import numpy as np
import torch
from nearfar.encoders.convolutional import Convolutional

images = [np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8) for i in range(48)]
network = Convolutional.fit({"image": images}, size=16, width=int(sys.argv[1]), stages=2)
if sys.argv[2] == "strided":
    for block in network.blocks:
        if block.past is not None:
            block.past.stride, block.stride = (block.stride, block.stride), 1
inputs = network.prepare(images)
for step in range(60):
    network(inputs[: 16 + step % 32].float() / 255).vectors.square().mean().backward()
print(float(network(inputs.float() / 255).vectors.detach().double().sum()))
"""


def narrow(width, how):
    command = [sys.executable, "-c", NARROW, str(width), how]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("width", [3, 4, 6])
def test_narrow_networks_keep_to_their_memory(width):
    """In a process of its own: a stride in the 1 x 1 convolution corrupts memory, and the process dies of it sooner or later."""
    assert narrow(width, "as it is").returncode == 0


def test_taking_every_second_place_is_the_stride():
    ours, strided = narrow(8, "as it is"), narrow(8, "strided")
    assert ours.returncode == strided.returncode == 0
    assert float(ours.stdout) == pytest.approx(float(strided.stdout), rel=1e-5)
