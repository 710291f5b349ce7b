"""What both encoders of images that are trained from scratch do alike: inputs of any kind and size, statistics, and learning shapes."""

import pytest
import torch

from encoders.cases import IMAGES, VISION
from image_world import apart, learns_shapes
from nearfar.core.errors import DataError, UsageError
from nearfar.encoders.convolutional import Convolutional
from nearfar.encoders.vision_transformer import VisionTransformer

TINY = {Convolutional: {"width": 8, "stages": 2, "size": 16}, VisionTransformer: VISION}
both = pytest.mark.parametrize("kind", TINY)


def fitted(kind, records=IMAGES, **options):
    return kind.fit({"x": records}, **TINY[kind] | options)


@both
def test_inputs_are_bytes_or_floats_of_any_size(kind):
    encoder = fitted(kind).eval()
    inputs = encoder.prepare(IMAGES)
    assert inputs.shape == (10, 3, 16, 16)
    assert inputs.dtype == torch.uint8
    assert encoder.cost(inputs).tolist() == [1] * 10
    with torch.no_grad():
        vectors = encoder(inputs).vectors
        assert vectors.shape == (10, encoder.dimension) == (10, 16)
        assert apart(encoder(inputs.float() / 255).vectors, vectors) < 1e-5
        assert apart(encoder(inputs.float()).vectors, vectors) > 0.1  # known bad: not divided
        assert encoder(inputs[..., :8, :12]).vectors.shape == (10, 16)
    for wrong in (inputs[:, :1], inputs[0], inputs.int()):
        with pytest.raises(UsageError, match="batch of images of 3 channels"):
            encoder(wrong)
    grey = fitted(kind, channels=1)
    assert grey.prepare(IMAGES).shape == (10, 1, 16, 16)
    assert grey(grey.prepare(IMAGES)).vectors.shape == (10, 16)


@both
def test_statistics_of_the_images_are_fitted(kind):
    encoder = fitted(kind)
    pixels = encoder.prepare(IMAGES).double() / 255
    for found, expected in zip(encoder.scale, (pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))), strict=True):
        assert (torch.tensor(found).double() - expected).abs().max() < 1e-3
    other = fitted(kind, [image // 2 for image in IMAGES])
    assert max(other.scale.mean) < min(encoder.scale.mean)
    assert fitted(kind, []).scale == ((0.5,) * 3, (0.25,) * 3)
    # A broken image is for the training to deal with, unless there is no other.
    assert fitted(kind, ["nowhere.png", *IMAGES]).scale == encoder.scale
    with pytest.raises(DataError, match=r"nowhere\.png"):
        fitted(kind, ["nowhere.png"])


@both
def test_settings_that_make_no_sense_are_named(kind):
    for wrong in ({"size": 0}, {"size": 10**6}, {"channels": 2}, {"depth": 0}, {"dimension": 0}):
        with pytest.raises(UsageError) as caught:
            fitted(kind, **wrong)
        assert caught.value.where == f"encoder.{next(iter(wrong))}"


@pytest.mark.parametrize(
    ("kind", "options", "steps", "rate", "enough"),
    [
        (Convolutional, {}, 40, 3e-3, 0.95),
        (VisionTransformer, {"dimension": 32}, 60, 2e-3, 0.9),
    ],
)
def test_it_learns_shapes(kind, options, steps, rate, enough):
    before, after = learns_shapes(fitted(kind, [], channels=1, **options), steps=steps, rate=rate)
    assert after > enough
    assert before < after - 0.1
