"""The small residual network: local to an image, saved and loaded, and able to learn."""

import copy

import pytest
import torch
from torch import nn

import nearfar as nf
from image_world import apart, gradients, learns_shapes, photographs, vectors_alone_and_together
from nearfar.core.errors import DataError, UsageError
from nearfar.core.model import Model
from nearfar.encoders.convolutional import Convolutional

SMALL = {"width": 8, "stages": 2, "size": 16}


@pytest.fixture
def records():
    return photographs(10)


def fitted(records, **settings):
    return nf.Convolutional.fit({"x": records}, **{**SMALL, **settings})


def test_a_vector_depends_on_its_own_image_alone(records):
    encoder = fitted(records)
    assert vectors_alone_and_together(encoder, records) < 1e-5
    # Batch norm in training mode is what the law forbids.
    wrong = copy.deepcopy(encoder)
    wrong.norm = nn.BatchNorm2d(16)
    wrong.eval = lambda: wrong
    assert vectors_alone_and_together(wrong, records) > 1e-2


def test_micro_batches_have_the_gradient_of_the_whole(records):
    encoder = fitted(records)
    whole = gradients(encoder, records, None)
    pieces = gradients(encoder, records, 3)
    assert all(g is not None and g.abs().max() > 0 for g in whole.values())
    assert max(float((pieces[n] - g).norm() / g.norm()) for n, g in whole.items()) < 1e-4


def test_inputs_are_bytes_or_floats_of_any_size(records):
    encoder = fitted(records).eval()
    inputs = encoder.prepare(records)
    assert inputs.shape == (10, 3, 16, 16)
    assert inputs.dtype == torch.uint8
    assert encoder.cost(inputs).tolist() == [1] * 10
    with torch.no_grad():
        vectors = encoder(inputs).vectors
        assert vectors.shape == (10, encoder.dimension) == (10, 16)
        assert apart(encoder(inputs.float() / 255).vectors, vectors) < 1e-5
        assert apart(encoder(inputs.float()).vectors, vectors) > 0.1
        assert encoder(inputs[..., :9, :13]).vectors.shape == (10, 16)
    for wrong in (inputs[:, :1], inputs[0], inputs.int()):
        with pytest.raises(UsageError, match="batch of images of 3 channels"):
            encoder(wrong)


def test_statistics_of_the_images_are_fitted(records):
    encoder = fitted(records)
    pixels = encoder.prepare(records).double() / 255
    for fitted_to, expected in zip(encoder.scale, (pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))), strict=True):
        assert (torch.tensor(fitted_to).double() - expected).abs().max() < 1e-3
    other = Convolutional.fit({"x": [r // 2 for r in records]}, **SMALL)
    assert max(other.scale.mean) < min(encoder.scale.mean)
    assert Convolutional.fit({"x": []}, **SMALL).scale == ((0.5,) * 3, (0.25,) * 3)
    # A broken image is for the training to deal with, unless there is no other.
    assert Convolutional.fit({"x": ["nowhere.png", *records]}, **SMALL).scale == encoder.scale
    with pytest.raises(DataError, match=r"nowhere\.png"):
        Convolutional.fit({"x": ["nowhere.png"]}, **SMALL)


def test_weights_are_drawn_from_the_seed(records):
    before = torch.get_rng_state()
    one, same, other = fitted(records, seed=1), fitted(records, seed=1), fitted(records, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.stem.weight, same.stem.weight)
    assert not torch.equal(one.stem.weight, other.stem.weight)


def test_shapes_of_networks(records):
    eighteen = fitted(records, width=64, depth=2, stages=4, size=224)
    count = sum(p.numel() for p in eighteen.parameters())
    assert eighteen.dimension == 512
    assert abs(count - 11.2e6) < 0.1e6  # ResNet-18 without its classifier
    with torch.no_grad():
        features = eighteen.blocks(eighteen.stem(torch.zeros(1, 3, 224, 224)))
    assert features.shape == (1, 512, 7, 7)
    assert fitted(records, dimension=5).eval().dimension == 5
    grey = fitted(records, channels=1)
    assert grey.prepare(records).shape == (10, 1, 16, 16)
    assert grey(grey.prepare(records)).vectors.shape == (10, 16)
    assert fitted(records, width=3)(grey.prepare(records).expand(10, 3, 16, 16)).vectors.isfinite().all()


def test_saved_and_loaded(records, tmp_path):
    model = Model({"image": fitted(records, dimension=6)}).eval()
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    expected = model.encode(records, side="image")
    assert expected.shape == (10, 6)
    assert abs(loaded.encode(records, side="image") - expected).max() == 0
    with torch.no_grad():
        loaded.tower("image").linear.bias += 0.1
    assert abs(loaded.encode(records, side="image") - expected).max() > 1e-3


def test_a_bad_record_is_named(records):
    with pytest.raises(DataError) as caught:
        fitted(records).prepare([*records[:3], "nowhere.png"])
    assert caught.value.where == "record 3, nowhere.png"


@pytest.mark.parametrize(
    "damage",
    [
        {"width": 0},
        {"width": True},
        {"width": "8"},
        {"depth": 10**9},
        {"stages": None},
        {"size": 10**6},
        {"size": 2.5},
        {"channels": 2},
        {"channels": True},
        {"dimension": 0},
        {"dimension": 10**12},
        {"mean": [0.5]},
        {"mean": "000"},
        {"mean": [0.5, 0.5, float("nan")]},
        {"deviation": [0.2, 0.2, 0.0]},
        {"deviation": None},
    ],
)
def test_damaged_configurations_are_refused(records, damage):
    config = fitted(records).config()
    with torch.device("meta"):
        assert Convolutional.from_config(config).config() == config
        with pytest.raises(DataError, match="no configuration"):
            Convolutional.from_config(config | damage)
        with pytest.raises(DataError, match="no configuration"):
            Convolutional.from_config({k: v for k, v in config.items() if k not in damage or k == "dimension"} | damage)


def test_settings_that_make_no_sense(records):
    for wrong in ({"width": 0}, {"depth": 0}, {"stages": 9}, {"size": 0}, {"channels": 2}, {"dimension": -1}):
        with pytest.raises(UsageError) as caught:
            fitted(records, **wrong)
        assert caught.value.where == f"encoder.{next(iter(wrong))}"


def test_it_learns_shapes():
    encoder = Convolutional.fit({"x": []}, width=8, stages=2, size=16, channels=1)
    before, after = learns_shapes(encoder, steps=40, rate=3e-3)
    assert after > 0.95
    assert before < after - 0.1
