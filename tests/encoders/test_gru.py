"""The recurrent network for sequences of items: what only it does; the rest is in test_contract.py."""

import copy

import numpy as np
import pytest
import torch

import nearfar as nf
from encoders.cases import SEQUENCES
from encoders.shared import close, loss_after, shoppers, vectors
from nearfar.core.errors import DataError, UsageError
from nearfar.core.item_sequences import MAX_ITEMS


def encoder(**options):
    return nf.Gru.fit({"query": [*SEQUENCES, [20]]}, **{"dimension": 8, **options})


def test_the_state_is_the_units_formula():
    model = encoder().double().eval()
    (sequence,) = sequences = [[3, 20, 7, 3]]
    w, u = model.network.weight_ih_l0, model.network.weight_hh_l0
    b, c = model.network.bias_ih_l0, model.network.bias_hh_l0
    h = torch.zeros(8, dtype=torch.float64)
    states = []
    for item in sequence:
        x = model.items.weight[item - 1]
        (wr, wz, wn), (ur, uz, un) = (w @ x + b).chunk(3), (u @ h + c).chunk(3)
        r, z = torch.sigmoid(wr + ur), torch.sigmoid(wz + uz)
        h = (1 - z) * torch.tanh(wn + r * un) + z * h
        states.append(h)
    made = model.outputs(model.prepare(sequences))
    assert torch.allclose(made.vectors[0], torch.stack(states), atol=1e-12)
    assert torch.allclose(vectors(model, sequences)[0], h, atol=1e-12)
    assert not torch.allclose(vectors(model, [sequence[::-1]])[0], h, atol=1e-4)  # known bad
    assert made.columns["item"].tolist() == sequences


def test_a_state_knows_nothing_of_later_items():
    model = encoder().eval()
    long, short = model.outputs(model.prepare([[4, 5, 6, 7]])), model.outputs(model.prepare([[4, 5]]))
    assert close(long.vectors[:, :2], short.vectors)
    assert not close(long.vectors[:, 2:], short.vectors)


def test_records_of_all_kinds_and_hidden_items():
    model = encoder(max_items=3).eval()
    kinds = [[4, 5, 6], (4, 5, 6), np.array([4, 5, 6], np.int16), [0, 0, 4, 5, 6, 0], [9, 9, 4, 5, 6]]
    made = vectors(model, kinds)
    assert all(close(made[i], made[0]) for i in range(5))
    assert not close(vectors(model, [[9, 4, 5]])[0], made[0])
    hidden = vectors(model, [[4, -1, 6], [4, 5, 6], [4, 6]])
    assert not close(hidden[0], hidden[1])
    assert not close(hidden[0], hidden[2])
    masked = nf.item_mask(share=0.5)
    from nearfar.core.draws import Draws

    given = Draws(0, epoch=0, record=torch.arange(6))
    assert len(vectors(model, masked(SEQUENCES, given))) == 6


@pytest.mark.parametrize("bad", [[21], [1, 2, 10**12], [-2], [], [0], "1 2", [1.5], None, [[1]], [True]])
def test_a_record_that_cannot_be_used_is_named(bad):
    with pytest.raises(DataError) as caught:
        encoder().prepare([[1], [2], [3], bad])
    assert caught.value.where == "record 3"
    assert caught.value.remedy


def test_the_vocabulary_is_that_of_all_sides():
    assert encoder().setup.items == 20
    assert nf.Gru.fit({"query": [[1]], "document": [[33, -1]]}, dimension=4).setup.items == 33
    with pytest.raises(DataError) as caught:
        nf.Gru.fit({"query": [[1], [MAX_ITEMS + 1]]})
    assert caught.value.where == "record 1"
    for nothing in ({}, {"query": []}, {"query": [[-1]]}):
        with pytest.raises(UsageError):
            nf.Gru.fit(nothing)


def test_it_learns_who_bought_alike():
    sequences, others = shoppers()
    fresh = nf.Gru.fit({"x": sequences, "y": others}, dimension=24)
    assert loss_after(copy.deepcopy(fresh), sequences, others, 0) > 1.5
    assert loss_after(fresh, sequences, others, 40, rate=1e-2) < 0.3
