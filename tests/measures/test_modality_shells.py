"""Two clouds of a model: figures by number, of vectors before normalisation; the model itself is left as it was."""

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError
from nearfar.core.model import Model
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset
from nearfar.encoders.mlp import Mlp
from nearfar.measures.modality_shells import METRICS, modality_shells

ROWS = np.random.default_rng(0).normal(size=(2, 12, 5)).astype(np.float32)


@pytest.fixture
def model():
    torch.manual_seed(0)
    towers = {s: Mlp.fit({s: rows}, dimension=4, hidden=8, layers=2) for s, rows in zip("ab", ROWS, strict=True)}
    return Model(towers)


def measured(model, n=12):
    dataset = Dataset("made up", {"dev": array_records(a=ROWS[0, :n], b=ROWS[1, :n])})
    return modality_shells(model, dataset, "dev", first="a", second="b")


def test_figures_are_of_raw_vectors(model):
    found = measured(model).figures()
    assert list(found) == list(METRICS)
    model.similarity = "dot"
    raw = model.encode(list(ROWS[0]), side="a").astype(float)
    units = raw / np.linalg.norm(raw, axis=1, keepdims=True)

    def offset(v):
        return np.linalg.norm(v.mean(0)) / np.sqrt(((v - v.mean(0)) ** 2).sum(1).mean())

    assert found["first_offset"] == pytest.approx(offset(raw), abs=1e-5)
    assert found["first_offset"] != pytest.approx(offset(units), abs=1e-3)  # known bad: brought to length one
    cosines = [float(units[i] @ units[k]) for i in range(12) for k in range(12) if i != k]
    assert found["first_conformity"] == pytest.approx(np.mean(cosines), abs=1e-5)


def test_the_model_stays_as_it_was(model):
    measured(model)
    assert model.similarity == "cosine"
    assert np.linalg.norm(model.encode(list(ROWS[0]), side="a"), axis=1) == pytest.approx(1)


def test_too_few_records_are_told(model):
    with pytest.raises(DataError):
        measured(model, n=1).figures()
