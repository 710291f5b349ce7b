"""What a temperature did to a model; the figures themselves are compared with loops by the reference of `moderate_temperature`."""

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError
from nearfar.core.model import Model
from nearfar.data.array_records import array_records
from nearfar.data.dataset import Dataset
from nearfar.encoders.mlp import Mlp
from nearfar.measures.temperature_effects import temperature_effects

ROWS = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
LABELS = np.arange(12) % 3


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model({"row": Mlp.fit({"row": ROWS}, dimension=4, hidden=8, layers=2)})


def measured(model, rows=ROWS, **columns):
    return temperature_effects(model, Dataset("d", {"dev": array_records(row=rows, **columns)}), "dev", temperature=0.1)


def test_cosines_of_classes_are_there_where_classes_are(model):
    found = measured(model, label=LABELS).figures()
    assert list(found) == ["uniformity", "effective_negatives@0.1", "within", "between"]
    vectors = model.encode(list(ROWS))
    pairs = [float(vectors[i] @ vectors[j]) for i in range(12) for j in range(12) if i != j and LABELS[i] == LABELS[j]]
    every = [float(vectors[i] @ vectors[j]) for i in range(12) for j in range(12) if i != j]
    assert found["within"] == pytest.approx(np.mean(pairs), abs=1e-6)
    assert found["within"] != pytest.approx(np.mean(every), abs=1e-3)


@pytest.mark.parametrize("label", [None, np.zeros(12, int), np.arange(12)])
def test_without_classes_the_rest_is_measured(model, label):
    columns = {} if label is None else {"label": label}
    assert list(measured(model, **columns).figures()) == ["uniformity", "effective_negatives@0.1"]


def test_a_single_record_has_no_neighbour(model):
    with pytest.raises(DataError, match="this needs 2"):
        measured(model, ROWS[:1])
