"""An adapter of share zero is the frozen model to the bit; some share learns a shift; classes count once."""

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.encoders.residual_adapter import ResidualAdapter
from nearfar.recipes.multimodal.feature_adapter import recipe
from nearfar.training.train import train_run

DRAWS = np.random.default_rng(0)
TEXTS = DRAWS.normal(size=(3, 8)).astype(np.float32)
LABEL = np.arange(12) % 3
IMAGES = (np.roll(TEXTS, 1, 1)[LABEL] + 0.1 * DRAWS.normal(size=(12, 8))).astype(np.float32)
DATA = {"image": IMAGES, "text": TEXTS[LABEL], "label": LABEL}


def vectors(encoder, table):
    with torch.no_grad():
        return encoder(encoder.prepare(table)).vectors.numpy()


def trained(tmp_path, ratio):
    settings = (f"encoder.ratio={ratio}", "encoder.reduction=1", "fit.learning_rate=0.01")
    return train_run(recipe(), DATA, out=tmp_path / f"{ratio}", settings=settings).model


def right(pictures, texts):
    unit = [table / np.linalg.norm(table, axis=1, keepdims=True) for table in (pictures, texts)]
    return float(((unit[0] @ unit[1].T).argmax(1) == LABEL).mean())


def test_share_zero_is_zero_shot_exactly(tmp_path):
    unmoved, moved = (ResidualAdapter.fit({"image": IMAGES}, ratio=ratio) for ratio in (0.0, 1e-3))
    assert np.array_equal(vectors(unmoved, IMAGES), IMAGES)
    assert not np.array_equal(vectors(moved, IMAGES), IMAGES)
    with pytest.raises(UsageError, match="nothing learns"):
        trained(tmp_path, 0.0)


def test_texts_stay_and_shots_are_learned(tmp_path):
    model = trained(tmp_path, 0.8)
    pictures, texts = (vectors(model.tower(side), table) for side, table in (("image", IMAGES), ("text", TEXTS)))
    assert np.array_equal(texts, TEXTS)
    assert right(pictures, texts) > right(IMAGES, TEXTS) + 0.3


def test_the_blend_is_that_of_raw_vectors():
    encoder = ResidualAdapter.fit({"image": IMAGES}, ratio=0.3)
    down, up = encoder.down.weight.detach().numpy(), encoder.up.weight.detach().numpy()
    expected = [0.3 * up @ np.maximum(down @ f, 0) + 0.7 * f for f in IMAGES]
    assert down.shape == (2, 8)
    assert np.allclose(vectors(encoder, IMAGES), expected, atol=1e-6)
    second_relu = [0.3 * np.maximum(up @ np.maximum(down @ f, 0), 0) + 0.7 * f for f in IMAGES]
    assert not np.allclose(vectors(encoder, IMAGES), second_relu, atol=1e-3)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), True])
def test_a_share_is_a_share(ratio):
    with pytest.raises(UsageError, match="ratio"):
        ResidualAdapter.fit({"image": IMAGES}, ratio=ratio)


@pytest.mark.parametrize("bad", [[1.0] * 7, [np.inf] * 8, "text"])
def test_a_vector_that_is_none_is_named(bad):
    with pytest.raises(DataError) as caught:
        ResidualAdapter.fit({"image": IMAGES}).prepare([IMAGES[0], bad])
    assert caught.value.where == "record 1"
