"""The vision transformer: local to an image, saved and loaded, and able to learn."""

import pytest
import torch

import nearfar as nf
from image_world import apart, gradients, learns_shapes, photographs, vectors_alone_and_together
from nearfar.core.errors import DataError, UsageError
from nearfar.core.model import Model
from nearfar.core.rows import Rows
from nearfar.encoders.vision_transformer import VisionTransformer

SMALL = {"dimension": 16, "depth": 2, "heads": 2, "size": 16, "patch": 4}


@pytest.fixture
def records():
    return photographs(10)


def fitted(records, **settings):
    return nf.VisionTransformer.fit({"x": records}, **{**SMALL, **settings})


class Mixing(VisionTransformer):
    """What the law forbids: a vector from which that of the batch is subtracted."""

    def forward(self, inputs, side="query"):
        vectors = super().forward(inputs, side).vectors
        return Rows(vectors - vectors.mean(0) / 2)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_vector_depends_on_its_own_image_alone(records, pooling):
    assert vectors_alone_and_together(fitted(records, pooling=pooling), records) < 1e-5
    wrong = Mixing.fit({"x": records}, **SMALL, pooling=pooling)
    assert vectors_alone_and_together(wrong, records) > 1e-2


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_micro_batches_have_the_gradient_of_the_whole(records, pooling):
    encoder = fitted(records, pooling=pooling)
    whole = gradients(encoder, records, None)
    pieces = gradients(encoder, records, 3)
    assert all(g is not None and g.abs().max() > 0 for g in whole.values())
    assert max(float((pieces[n] - g).norm() / g.norm()) for n, g in whole.items()) < 1e-3


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


def test_inputs_are_bytes_or_floats_also_of_another_size(records):
    encoder = fitted(records).eval()
    inputs = encoder.prepare(records)
    assert inputs.shape == (10, 3, 16, 16)
    assert inputs.dtype == torch.uint8
    assert encoder.cost(inputs).tolist() == [1] * 10
    with torch.no_grad():
        vectors = encoder(inputs).vectors
        assert vectors.shape == (10, encoder.dimension) == (10, 16)
        assert apart(encoder(inputs.float() / 255).vectors, vectors) < 1e-5
        assert encoder(inputs[..., :8, :12]).vectors.shape == (10, 16)
        # Positions keep their meaning: a picture of flat quarters twice the size is nearly the same to the blocks.
        assert encoder._positions(torch.zeros(1, 16, 8, 8)).shape == (1, 16, 8, 8)
        assert (encoder._positions(torch.zeros(1, 16, 8, 8)).mean() - encoder.position.mean()).abs() < 1e-2
    for wrong in (inputs[:, :1], inputs[0], inputs.int(), inputs[..., :15], inputs[..., :0]):
        with pytest.raises(UsageError):
            encoder(wrong)


def test_dropout_acts_in_training_alone(records):
    encoder = fitted(records, dropout=0.3)
    inputs = encoder.prepare(records)
    with torch.no_grad():
        assert not torch.equal(encoder.train()(inputs).vectors, encoder(inputs).vectors)
        assert torch.equal(encoder.eval()(inputs).vectors, encoder(inputs).vectors)


def test_weights_are_drawn_from_the_seed(records):
    before = torch.get_rng_state()
    one, same, other = fitted(records, seed=1), fitted(records, seed=1), fitted(records, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.position, same.position)
    assert not torch.equal(one.position, other.position)


def test_the_published_size(records):
    settings = {"dimension": 384, "depth": 12, "heads": 6, "patch": 16, "size": 224, "pooling": "cls"}
    with torch.device("meta"):
        small = VisionTransformer.from_config(fitted(records).config() | settings)
    assert abs(sum(p.numel() for p in small.parameters()) - 21.7e6) < 0.1e6  # ViT-S/16 without its classifier


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_saved_and_loaded(records, pooling, tmp_path):
    model = Model({"image": fitted(records, pooling=pooling)}).eval()
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    expected = model.encode(records, side="image")
    assert expected.shape == (10, 16)
    assert abs(loaded.encode(records, side="image") - expected).max() == 0
    with torch.no_grad():
        loaded.tower("image").norm.bias[0] += 0.5
    assert abs(loaded.encode(records, side="image") - expected).max() > 1e-3


def test_a_bad_record_is_named(records):
    with pytest.raises(DataError) as caught:
        fitted(records).prepare([*records[:3], "nowhere.png"])
    assert caught.value.where == "record 3, nowhere.png"


@pytest.mark.parametrize(
    "damage",
    [
        {"dimension": 15},
        {"dimension": 0},
        {"depth": 10**9},
        {"depth": True},
        {"heads": None},
        {"patch": 5},
        {"patch": 0},
        {"size": 10**6},
        {"channels": 2},
        {"pooling": "max"},
        {"pooling": None},
        {"dropout": 1.0},
        {"dropout": "0"},
        {"dropout": float("nan")},
        {"mean": [0.5]},
        {"deviation": [0.2, 0.2, -1]},
    ],
)
def test_damaged_configurations_are_refused(records, damage):
    config = fitted(records).config()
    with torch.device("meta"):
        assert VisionTransformer.from_config(config).config() == config
        with pytest.raises(DataError, match="no configuration"):
            VisionTransformer.from_config(config | damage)
        with pytest.raises(DataError, match="no configuration"):
            VisionTransformer.from_config({k: v for k, v in config.items() if k not in damage})


def test_settings_that_make_no_sense(records):
    for wrong, where in (
        ({"dimension": 15}, "heads"),
        ({"patch": 5}, "patch"),
        ({"size": 0}, "size"),
        ({"channels": 2}, "channels"),
        ({"dropout": 1.0}, "dropout"),
    ):
        with pytest.raises(UsageError) as caught:
            fitted(records, **wrong)
        assert caught.value.where == f"encoder.{where}"


def test_it_learns_shapes():
    encoder = VisionTransformer.fit({"x": []}, dimension=32, depth=2, heads=2, size=16, patch=4, channels=1)
    before, after = learns_shapes(encoder, steps=60, rate=2e-3)
    assert after > 0.9
    assert before < after - 0.1
