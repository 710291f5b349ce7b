"""Swedish leaves: sizes, that a series keeps its label, that no record is in two parts, and what is said where the file is missing."""

import numpy as np
import pytest

from nearfar.core.errors import ResourceError
from nearfar.data.dataset import VARIABLE
from nearfar.datasets.swedish_leaf import swedish_leaf

SIZES = {"train": 400, "dev": 100, "test": 625}


def write(folder):
    """Series that begin with their number and go on with their class, 1 to 15."""
    made = {}
    for half, n in (("train", 500), ("test", 625)):
        label = np.arange(n) % 15 + 1
        made[f"X_{half}"] = np.stack([np.arange(n), *[label] * 127], 1).astype(np.float32)
        made[f"y_{half}"] = label.astype(np.int32)
    (folder / "ucr_dev").mkdir()
    np.savez(folder / "ucr_dev" / "SwedishLeaf.npz", **made)


def test_parts(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ResourceError, match="SwedishLeaf"):
        swedish_leaf()
    write(tmp_path)
    made = swedish_leaf()
    assert made.facts == {"classes": 15}
    numbers = {}
    for name, part in made.parts.items():
        series = np.stack(part.many("series", range(len(part))))
        assert series.shape == (SIZES[name], 128, 1)
        assert (series[:, 1, 0] == part.columns["label"] + 1).all()
        numbers[name] = set(series[:, 0, 0].tolist())
        assert len(numbers[name]) == len(part)
    assert not numbers["train"] & numbers["dev"]
    assert made.fingerprint == swedish_leaf().fingerprint


def test_the_file_itself(real_data):
    made = swedish_leaf()
    assert {name: len(part) for name, part in made.parts.items()} == SIZES
    assert len(set(made.train.columns["label"].tolist())) == made.facts["classes"] == 15
