"""States know nothing of what comes later, steps nothing of their neighbours; layers, and settings that make no sense."""

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, UsageError

SERIES = [np.random.default_rng(i).normal(size=(t, 2)) for i, t in enumerate((13, 24, 6))]


@pytest.fixture
def encoder():
    return nf.RecurrentSeries.fit({"query": SERIES}, dimension=5, strides=(3, 2)).eval()


def test_the_past_does_not_know_the_future(encoder):
    changed = [one.copy() for one in SERIES]
    changed[1][12:] += 1.0  # from the third step of six on
    before, after = (
        [encoder(encoder.prepare(records), layer=layer).vectors[1] for layer in (0, 1)] for records in (SERIES, changed)
    )
    steps, states = ((a - b).abs().amax(1) for a, b in zip(before, after, strict=True))
    assert torch.all(steps[:2] == 0)
    assert torch.all(states[:2] == 0)
    assert torch.all(steps[2:4] > 1e-4), "the wrong variant: nothing of the change is seen"
    assert torch.all(states[2:4] > 1e-4)


def test_layers_and_their_masks(encoder):
    inputs = encoder.prepare(SERIES)
    states = encoder(inputs, layer=1)
    assert states.mask.sum(1).tolist() == [3, 4, 1]
    assert encoder(inputs, layer=0).mask.equal(states.mask)
    mean = (states.vectors * states.mask[..., None]).sum(1) / states.mask.sum(1, keepdim=True)
    assert torch.allclose(encoder(inputs).vectors, mean)
    with pytest.raises(UsageError, match="no layer 2"):
        encoder(inputs, layer=2)


def test_what_is_refused():
    with pytest.raises(UsageError, match="strides"):
        nf.RecurrentSeries.fit({"query": SERIES}, strides=(0,))
    with pytest.raises(DataError):
        nf.RecurrentSeries.fit({"query": [np.array([1.0, np.nan])]})
