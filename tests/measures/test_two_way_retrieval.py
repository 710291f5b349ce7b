"""Retrieval both ways: the mean of each way by itself, by counting, with equal texts as right answers."""

import numpy as np
import pytest
import torch

from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.data.records import Records
from nearfar.encoders.mlp import Mlp
from nearfar.measures.pair_retrieval import pair_retrieval
from nearfar.measures.two_way_retrieval import two_way_retrieval

ROWS = np.random.default_rng(0).normal(size=(2, 12, 5)).astype(np.float32)
IDS = [0, 1, 2, 3, 0, 5, 6, 7, 8, 9, 10, 11]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model(
        {side: Mlp.fit({side: rows}, dimension=4, hidden=8, layers=2) for side, rows in zip("ab", ROWS, strict=True)}
    )


def dataset(ids=None):
    columns = {} if ids is None else {"b": np.array(ids)}
    return Dataset("made up", {"dev": Records({"a": list(ROWS[0]), "b": list(ROWS[1])}, columns)})


def by_counting(queries, keys, ids):
    """The mean of 1 / rank of the best right answer."""
    found = []
    for i, query in enumerate(queries):
        scores = [float(query @ key) for key in keys]
        best = max(score for k, score in enumerate(scores) if ids[k] == ids[i])
        found.append(1 / sum(score >= best for score in scores))
    return np.mean(found)


@pytest.mark.parametrize("ids", [None, IDS])
def test_the_mean_of_both_ways(model, ids):
    a, b = (model.encode(list(rows), side=side) for side, rows in zip("ab", ROWS, strict=True))
    alone = range(len(a))
    there, back = by_counting(a, b, ids or alone), by_counting(b, a, ids or alone)
    found = two_way_retrieval(model, dataset(ids), "dev", first="a", second="b")
    assert len(found) == 2 * len(a)
    assert found.figure("mrr") == pytest.approx((there + back) / 2)
    assert pair_retrieval(model, dataset(ids), "dev", query="a", document="b").figure("mrr") == pytest.approx(there)
    assert found.figure("mrr") != pytest.approx(there, abs=1e-3)  # known bad: one way for both


def test_equal_texts_are_right_answers(model):
    assert two_way_retrieval(model, dataset(), "dev", first="a", second="b").figure("mrr") < 1
    assert two_way_retrieval(model, dataset([7] * 12), "dev", first="a", second="b").figure("mrr") == 1
