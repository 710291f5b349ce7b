"""The vision transformer: patches, positions, its size; the rest is in test_contract.py and test_image_encoders.py."""

import pytest
import torch

import nearfar as nf
from encoders.cases import IMAGES, VISION
from image_world import apart
from nearfar.core.errors import UsageError
from nearfar.encoders.vision_transformer import VisionTransformer


@pytest.fixture
def records():
    return IMAGES


def fitted(records, **settings):
    return nf.VisionTransformer.fit({"x": records}, **{**VISION, **settings})


def test_patches_are_cut_where_they_are(records):
    encoder = fitted(records).eval()
    pixels = torch.rand(1, 3, 16, 16)
    tokens = encoder.embed(pixels).flatten(2).transpose(1, 2)
    weight, bias = encoder.embed.weight.flatten(1), encoder.embed.bias
    for number in range(16):
        y, x = divmod(number, 4)
        patch = pixels[0, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].flatten()
        assert (weight @ patch + bias - tokens[0, number]).abs().max() < 1e-5
    assert (weight @ pixels[0, :, 4:8, :4].flatten() + bias - tokens[0, 1]).abs().max() > 1e-2


def test_positions_matter(records):
    encoder = fitted(records).eval()
    inputs = encoder.prepare(records)
    swapped = torch.cat([inputs[..., 8:], inputs[..., :8]], 3)  # whole patches: without positions nothing would change
    with torch.no_grad():
        assert apart(encoder(swapped).vectors, encoder(inputs).vectors) > 1e-4
        encoder.position.zero_()
        assert apart(encoder(swapped).vectors, encoder(inputs).vectors) < 1e-5


def test_positions_of_another_size_keep_their_meaning(records):
    encoder = fitted(records).eval()
    made = encoder._positions(torch.zeros(1, 16, 8, 8))
    assert made.shape == (1, 16, 8, 8)
    assert (made.mean() - encoder.position.mean()).abs() < 1e-2
    inputs = encoder.prepare(records)
    for wrong in (inputs[..., :15], inputs[..., :0]):
        with pytest.raises(UsageError, match="patches of 4"):
            encoder(wrong)


def test_dropout_acts_in_training_alone(records):
    encoder = fitted(records, dropout=0.3)
    inputs = encoder.prepare(records)
    with torch.no_grad():
        assert not torch.equal(encoder.train()(inputs).vectors, encoder(inputs).vectors)
        assert torch.equal(encoder.eval()(inputs).vectors, encoder(inputs).vectors)


def test_the_published_size(records):
    settings = {"dimension": 384, "depth": 12, "heads": 6, "patch": 16, "size": 224, "pooling": "cls"}
    with torch.device("meta"):
        small = VisionTransformer.from_config(fitted(records).config() | settings)
    assert abs(sum(p.numel() for p in small.parameters()) - 21.7e6) < 0.1e6  # ViT-S/16 without its classifier


def test_settings_that_make_no_sense(records):
    for wrong, where in (({"dimension": 15}, "heads"), ({"patch": 5}, "patch"), ({"dropout": 1.0}, "dropout")):
        with pytest.raises(UsageError) as caught:
            fitted(records, **wrong)
        assert caught.value.where == f"encoder.{where}"
