"""The data set digits_of_two_hands: its parts, and that no label of the target is given away."""

import numpy as np
import pytest

from nearfar.core.errors import ResourceError
from nearfar.data.dataset import VARIABLE
from nearfar.datasets.digits_of_two_hands import digits_of_two_hands


def test_without_the_folder_the_variable_is_named(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ResourceError, match=VARIABLE):
        digits_of_two_hands()


def test_parts(real_data):
    found = digits_of_two_hands()
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 1000, "dev": 600, "test": 997}
    for part in found.parts.values():
        label, truth, domain = (part.columns[name] for name in ("label", "truth", "domain"))
        assert (label[domain == 1] == -1).all()
        assert (label[domain == 0] == truth[domain == 0]).all()
        assert (np.bincount(truth[domain == 1]) > 20).all()
        images = np.stack(part.many("image", range(len(part))))
        assert images.shape[1:] == (16, 16)
        means = [images[domain == d].mean() for d in (0, 1)]
        assert means[0] < 60 < 70 < means[1]  # the target's digits fill the picture
