"""Handwritten characters: sizes, other characters in each part, ink where it was, and what is said where the file is missing."""

import numpy as np
import pytest

from nearfar.core.errors import ResourceError
from nearfar.data.dataset import VARIABLE
from nearfar.datasets.omniglot_small import omniglot_small

CHARACTERS = {"train": 80, "dev": 20, "test": 36}


def write(folder):
    """Two drawings of each of 136 characters of two alphabets; a blot of three by three pixels says which."""
    ink = np.zeros((272, 105, 105), np.uint8)
    for i in range(272):
        character = i // 2
        ink[i, 3 * (character // 35) : 3 * (character // 35) + 3, 3 * (character % 35) : 3 * (character % 35) + 3] = 1
    (folder / "omniglot_small").mkdir()
    np.savez(
        folder / "omniglot_small" / "omniglot_small.npz",
        images=np.packbits(ink, axis=2),
        alphabet=np.array(["Greek", "Latin"])[np.arange(272) // 136],
        character=(np.arange(272) % 136 // 2 + 1).astype(np.int16),
    )


def test_parts(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ResourceError, match="omniglot_small"):
        omniglot_small()
    write(tmp_path)
    made = omniglot_small()
    assert made.facts == {"characters": 136, "alphabets": 2}
    seen = {}
    for name, part in made.parts.items():
        pictures, label = np.stack(part.many("image", range(len(part)))), part.columns["label"]
        assert pictures.shape == (2 * CHARACTERS[name], 35, 35)
        assert (pictures == 0).sum((1, 2)).tolist() == [1] * len(part)
        blot = (pictures == 0).reshape(len(part), -1).argmax(1)
        assert len(set(zip(blot.tolist(), label.tolist(), strict=True))) == len(set(label.tolist())) == CHARACTERS[name]
        assert (part.columns["alphabet"] == (blot >= 68)).all()
        assert abs((blot >= 68).mean() - 0.5) < 0.1  # alphabets in proportion
        seen[name] = set(label.tolist())
    assert not seen["train"] & seen["dev"] | seen["train"] & seen["test"] | seen["dev"] & seen["test"]
    assert made.fingerprint == omniglot_small().fingerprint


def test_the_file_itself(real_data):
    made = omniglot_small()
    assert {name: len(part) for name, part in made.parts.items()} == {n: 20 * k for n, k in CHARACTERS.items()}
    picture = made.train.many("image", [0])[0]
    assert picture.shape == (35, 35)
    assert (picture > 200).mean() > 0.6  # mostly paper
